"""A bare cache of one repository on a worker's disk: the last commits, without history.

Owns the folder `<cache>/git/<hash of URL and account>/`: packs, a list of the commits whose whole tree is in them, and
the shelf of archives that were made of them.
Accounts never share a folder, so nobody reads what only another may fetch. One process uses a mirror at a time (a file
lock); a killed one leaves at worst a temporary file. Everything in it can be fetched again, and is when it is damaged.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dulwich.objects import Commit, ShaFile

from fleetbeat.errors import GitOperationFailed
from fleetbeat.sources import turn
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.git.objects import Objects
from fleetbeat.sources.git.pack import add_pack
from fleetbeat.sources.git.refs import Candidate
from fleetbeat.sources.git.remote import Remote
from fleetbeat.sources.git.shelf import Shelf

PACKS, SHELF, SCRATCH = "packs", "archives", "scratch"


class NotSent(GitOperationFailed):
    """What the server sent is without the commit that was asked for."""


class Mirror:
    """An open mirror; make one by `open_mirror`."""

    def __init__(self, folder: Path, limits: GitLimits, deadline: Deadline) -> None:
        self._packs = folder / PACKS
        self._scratch = folder / SCRATCH
        self._commits = folder / "commits"
        self.shelf = Shelf(folder / SHELF)
        self._limits = limits
        self._deadline = deadline
        self._objects: Objects | None = None
        self.grown = False
        """Whether it took more room since it was opened."""
        self._used = False
        self._packs.mkdir(parents=True, exist_ok=True)
        for leftover in self._packs.glob("new-*"):
            leftover.unlink()

    @property
    def objects(self) -> Objects:
        """What is there now."""
        if self._objects is None:
            self._objects = Objects(self._packs)
        return self._objects

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder until the block ends; what a killed process left in it goes first."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        try:
            yield self._scratch
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def commit(self, commit: str) -> Commit:
        """A commit's object; GitOperationFailed if the id belongs to something else."""
        found = ShaFile.from_raw_string(*self.objects.read(commit.encode()))
        if not isinstance(found, Commit):
            raise GitOperationFailed(f"the reference points to a {found.type_name.decode()}, not to a commit")
        return found

    def ensure(self, server: Remote, candidate: Candidate, *, tag: bool = False) -> None:
        """Fetch the candidate's tree, without history, unless it is here already; with `tag` its tag object too."""
        known = self._known()
        here = candidate.commit in known and (not tag or candidate.want.encode() in self.objects)
        if not here and not self._used and len(list(self._packs.glob("*.pack"))) >= self._limits.mirror_packs:
            self.clear()
            known = []
        self._used = True  # from now on somebody reads what is here
        if not here:
            self._receive(server, [candidate.want], known, depth=1)
            self._complete(candidate.commit, known)

    def ensure_by_history(self, server: Remote, candidate: Candidate, tips: list[str]) -> None:
        """Fetch all history of `tips`, for a server that does not hand out single commits."""
        self.clear()
        self._receive(server, tips, [], depth=None)
        self._complete(candidate.commit, [])

    def clear(self) -> None:
        """Forget everything."""
        self.close()
        self._commits.unlink(missing_ok=True)
        self.shelf.clear()
        shutil.rmtree(self._packs, ignore_errors=True)
        self._packs.mkdir(parents=True)

    def close(self) -> None:
        if self._objects is not None:
            self._objects.close()
            self._objects = None

    def _known(self) -> list[str]:
        return self._commits.read_text().split() if self._commits.exists() else []

    def _receive(self, server: Remote, wants: list[str], haves: list[str], *, depth: int | None) -> None:
        self.close()
        self.grown = True
        here = Objects(self._packs)  # the new pack is none of them yet
        file = self._packs / f"new-{os.getpid()}.pack"
        try:
            with file.open("wb") as out:
                server.fetch(wants, haves, out, depth=depth)
            add_pack(file, self._limits, self._deadline, here.read if haves else None)
        finally:
            here.close()
            file.unlink(missing_ok=True)
            file.with_suffix(".idx").unlink(missing_ok=True)

    def _complete(self, commit: str, known: list[str]) -> None:
        """Record that the commit is here in full."""
        if commit.encode() not in self.objects:
            raise NotSent(f"the server did not send the commit {commit}")
        temporary = self._commits.with_suffix(".new")
        temporary.write_text("\n".join(dict.fromkeys([*known, commit])))
        temporary.replace(self._commits)


@contextmanager
def open_mirror(
    cache: Path, url: str, account: str, limits: GitLimits, deadline: Deadline, max_bytes: int
) -> Iterator[Mirror]:
    """The mirror of `url` for the account with that fingerprint, for this process alone while it is open."""
    name = hashlib.sha256(f"{url}\n{account}".encode()).hexdigest()[:40]
    folder = cache / "git" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        turn.take(lock, deadline)
        os.utime(folder)
        mirror = Mirror(folder, limits, deadline)
        try:
            yield mirror
        finally:
            mirror.close()
            if mirror.grown:
                evict(cache / "git", max_bytes, spare=folder)


def evict(root: Path, max_bytes: int, spare: Path) -> None:
    """Empty the least recently used mirrors, but none in use, until the rest fits into `max_bytes`."""
    if not root.exists():
        return  # somebody emptied the cache
    folders = sorted((folder.stat().st_mtime, folder) for folder in root.iterdir())
    sizes = {folder: sum(_size(file) for file in folder.glob("*/*")) for _, folder in folders}
    excess = sum(sizes.values()) - max_bytes
    for _, folder in folders:
        if excess <= 0:
            return
        if folder != spare and sizes[folder] and _emptied(folder):
            excess -= sizes[folder]


def _size(file: Path) -> int:
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


def _emptied(folder: Path) -> bool:
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        (folder / "commits").unlink(missing_ok=True)
        for content in (PACKS, SHELF, SCRATCH):
            shutil.rmtree(folder / content, ignore_errors=True)
        return True
