"""The part of a run that needs the mirror: fetch, verify, then archive.

Owns the order. Signatures are checked before anything is made of the commit, also where its archive lies on the shelf
already: what another source verified says nothing about this one. A damaged mirror is emptied and filled once more
before its damage counts as an error.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import msgspec
from dulwich.errors import ApplyDeltaError, ChecksumMismatch, FileFormatException
from dulwich.objects import Commit
from dulwich.pack import PackFileDisappeared

from fleetbeat.artifacts.archive import Archive, Entry, write_archive
from fleetbeat.artifacts.chunks import Chunk
from fleetbeat.errors import GitOperationFailed, VerificationFailed
from fleetbeat.sources.credentials import Account
from fleetbeat.sources.git import submodules
from fleetbeat.sources.git.ancestry import require_on_branch
from fleetbeat.sources.git.includes import Included, combined
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.git.mirror import Mirror, NotSent
from fleetbeat.sources.git.notes import Notes
from fleetbeat.sources.git.obtain import EVERYWHERE, obtain_fixed
from fleetbeat.sources.git.plan import Follow, Observed, Plan
from fleetbeat.sources.git.refs import Candidate
from fleetbeat.sources.git.remote import Remote
from fleetbeat.sources.git.result import GitResult
from fleetbeat.sources.git.shelf import Label, Shelf
from fleetbeat.sources.git.tree import Tree
from fleetbeat.sources.git.verify import Keyring, proof, verify

_DAMAGE = (
    *(KeyError, IndexError, ValueError, AssertionError, OSError, EOFError, zlib.error),
    PackFileDisappeared,
    ApplyDeltaError,
    ChecksumMismatch,
    FileFormatException,
)
"""What reading a damaged or incomplete mirror raises."""


@dataclass(frozen=True)
class Job:
    """One run with an open mirror and an open connection."""

    plan: Plan
    account: Account
    server: Remote
    mirror: Mirror
    cache: Path
    cache_bytes: int
    deadline: Deadline
    limits: GitLimits
    keyring: Keyring | None
    included: Sequence[Included]

    def run(self, candidates: list[Candidate], observed: Observed | None) -> GitResult:
        """The result for the newest of `candidates`; the archive is None when `observed` already is that."""
        with suppress(*_DAMAGE):
            return self._attempt(candidates, observed)
        self.mirror.clear()
        try:
            return self._attempt(candidates, observed)
        except _DAMAGE as error:
            raise GitOperationFailed(f"{self.plan.url}: what the server sent is incomplete: {error!r}") from error

    def _attempt(self, candidates: list[Candidate], observed: Observed | None) -> GitResult:
        if branch := self.plan.target.branch:  # a fixed commit's; its archive may be another source's, without a branch
            self._ensure(candidates[0])
            require_on_branch(self.server, branch, candidates[0].commit, self.mirror, self.limits, self.deadline)
        if len(candidates) == 1 and not self.plan.mode and (shelved := self._shelved(candidates[0])):
            return shelved
        for candidate in candidates:
            self._ensure(candidate)
        chosen = max(candidates, key=lambda candidate: self.mirror.commit(candidate.commit).commit_time)
        verified = self._verified(chosen)
        if observed is not None and observed.equals(self.plan, chosen.revision):
            found = GitResult(chosen.revision, chosen.commit)
        else:
            found = self._shelved(chosen) or self._made(chosen)
        return replace(found, verified=verified, proof=proof_of(self.plan, chosen, self.keyring))

    def _verified(self, chosen: Candidate) -> str:
        if not self.plan.mode:
            return ""
        return verify(self.plan.mode, chosen, self.mirror.objects.read, _required(self.keyring))

    def _shelved(self, chosen: Candidate) -> GitResult | None:
        kept = self.mirror.shelf.find(self._name(chosen))
        if kept is None:
            return None
        return self._labelled(chosen, *kept)

    @staticmethod
    def _labelled(chosen: Candidate, archive: Archive, label: Label) -> GitResult:
        return GitResult(
            chosen.revision,
            chosen.commit,
            label.subject,
            archive,
            warnings=label.warnings,
            left_out=label.left_out,
            links=label.links,
        )

    def _made(self, chosen: Candidate) -> GitResult:
        commit = self.mirror.commit(chosen.commit)
        archive, notes = self._archived(commit)
        label = Label(
            archive.digest,
            archive.size,
            archive.entries,
            _subject(commit),
            notes.warnings(),
            notes.left_out(),
            archive.chunks,
            tuple(notes.links.first),
        )
        self.mirror.shelf.keep(self._name(chosen), archive, label)
        return self._labelled(chosen, archive, label)

    def _archived(self, commit: Commit) -> tuple[Archive, Notes]:
        plan = self.plan
        root = submodules.Repository(plan.url, self.mirror, commit.tree)
        with ExitStack() as stack:
            modules = None
            if plan.submodules:
                modules = stack.enter_context(
                    submodules.opened(self.account, root, self.cache, self.limits, self.deadline, self.cache_bytes)
                )
            tree = Tree(root, self.limits, self.deadline, submodules=modules, directories=plan.directories)
            try:
                nodes = tree.nodes()
                if plan.includes:
                    pairs = list(zip(plan.includes, self.included, strict=True))
                    nodes = stack.enter_context(combined(nodes, pairs, self.cache, self.limits.archive))
                return self._archive(tree.entries(nodes, plan.ignore), tree.notes), tree.notes
            except _DAMAGE:
                if modules is not None:
                    modules.forget()
                raise

    def _archive(self, entries: Iterable[Entry], notes: Notes) -> Archive:
        """Into an anonymous file, so that nothing is left behind, however the process ends."""
        file = tempfile.TemporaryFile(dir=self.cache)  # noqa: SIM115
        try:
            with self.mirror.shelf.chunks() as chunks:
                return write_archive(entries, file, self.limits.archive, _Known(chunks, notes))
        except BaseException:
            file.close()
            raise

    def _ensure(self, candidate: Candidate) -> None:
        if self.plan.target.follow is Follow.COMMIT:
            branch = self.plan.target.branch
            try:
                obtain_fixed(self.mirror, self.server, candidate, [f"refs/heads/{branch}"] if branch else EVERYWHERE)
            except NotSent as error:
                where = f"branch {branch!r} (spec.ref.branch)" if branch else "repository"
                raise GitOperationFailed(
                    f"{self.plan.url}: the {where} has no commit {candidate.commit}; correct spec.ref.commit"
                ) from error
        else:
            self.mirror.ensure(self.server, candidate, tag=self.plan.mode in ("Tag", "TagAndHEAD"))

    def _name(self, chosen: Candidate) -> str:
        """All that decides what is in the archive."""
        plan = self.plan
        return Shelf.name(chosen.commit, plan.ignore, plan.directories, plan.submodules, plan.includes, self.limits)


class _Known:
    """Chunks of the archives on the shelf. One with something to note is read again each time, to be noted again."""

    def __init__(self, chunks: Mapping[str, tuple[Chunk, BinaryIO]], notes: Notes) -> None:
        self._chunks = chunks
        self._notes = notes
        self._noted = 0

    def find(self, key: str) -> tuple[Chunk, BinaryIO] | None:
        return self._chunks.get(key)

    def made(self, chunk: Chunk) -> Chunk:
        noted, self._noted = self._noted, self._notes.pointers.count
        return chunk if noted == self._noted else msgspec.structs.replace(chunk, key="")


def proof_of(plan: Plan, candidate: Candidate, keyring: Keyring | None) -> str:
    """What a check of the signatures that `plan` demands depends on; empty when it demands none."""
    return proof(plan.mode, candidate, _required(keyring)) if plan.mode else ""


def _required(keyring: Keyring | None) -> Keyring:
    if keyring is None:
        raise VerificationFailed("spec.verify: its keys were not read")
    return keyring


def _subject(commit: Commit) -> str:
    return bytes(commit.message).split(b"\n", 1)[0].decode("utf-8", "replace")[:200]
