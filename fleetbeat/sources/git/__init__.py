"""GitRepository: from a spec to a revision and, where it moved, to an archive of its tree.

`fetch` is the whole of it. A poll that finds nothing new costs one or two small requests (none for a fixed commit), an
update the objects that changed. It stores nothing but the worker's own mirror: publishing is the pipeline's business.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dulwich.errors import ApplyDeltaError, ChecksumMismatch, FileFormatException
from dulwich.pack import PackFileDisappeared

from fleetbeat.api.source import GitRepositorySpec
from fleetbeat.artifacts.archive import Archive, Entry, write_archive
from fleetbeat.errors import EmptyRepository, GitOperationFailed
from fleetbeat.sources.credentials import ANONYMOUS, HttpCredentials
from fleetbeat.sources.git import refs
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.git.mirror import Mirror, open_mirror
from fleetbeat.sources.git.plan import Follow, Observed, Plan
from fleetbeat.sources.git.refs import Candidate
from fleetbeat.sources.git.shelf import Shelf
from fleetbeat.sources.git.transport import Refused, SmartHttp
from fleetbeat.sources.git.tree import Tree

__all__ = ["Deadline", "GitLimits", "GitResult", "Observed", "fetch"]


_DAMAGE = (
    *(KeyError, IndexError, ValueError, AssertionError, OSError, zlib.error),
    PackFileDisappeared,
    ApplyDeltaError,
    ChecksumMismatch,
    FileFormatException,
)
"""What reading a damaged or incomplete mirror raises."""


@dataclass(frozen=True)
class GitResult:
    """What a fetch found. `archive` is None when the artifact that was `observed` is still the right one."""

    revision: str
    """`main@sha1:<hex>` and the like."""
    commit: str
    """40 hex digits."""
    subject: str = ""
    """First line of the commit's message; empty when unchanged."""
    archive: Archive | None = None
    """To be closed by the caller."""

    @property
    def unchanged(self) -> bool:
        return self.archive is None

    @property
    def filename(self) -> str:
        """The artifact's file name."""
        return f"{self.commit}.tar.gz"


def fetch(
    spec: GitRepositorySpec,
    credentials: HttpCredentials | None,
    observed: Observed | None,
    cache: Path,
    deadline: Deadline,
    limits: GitLimits | None = None,
    cache_bytes: int = 8 * 1024**3,
) -> GitResult:
    """Resolve what `spec` follows and, unless it is what `observed` says, archive its tree.

    `observed` is what the stored artifact was made of, or None if there is none (or its object is gone). `cache` is the
    worker's cache folder. Raises InvalidURL, InvalidSpec, AuthenticationFailed, EmptyRepository, GitOperationFailed or
    ArchiveInvalid; no message holds a credential.
    """
    plan, limits = Plan.of(spec), limits or GitLimits()
    account = credentials or ANONYMOUS
    server = SmartHttp(plan.url, account, deadline, limits)
    candidates = _candidates(plan, server)
    if len(candidates) == 1 and observed is not None and observed.equals(plan, candidates[0].revision):
        return GitResult(candidates[0].revision, candidates[0].commit)
    with open_mirror(cache, plan.url, account.fingerprint, limits, deadline, cache_bytes) as mirror:
        job = _Job(plan, server, mirror, cache, deadline, limits)
        return job.run(candidates, observed)


def _candidates(plan: Plan, server: SmartHttp) -> list[Candidate]:
    if plan.target.follow is Follow.COMMIT:
        return [refs.of_commit(plan.target)]
    found = server.refs(refs.prefixes(plan.target))
    try:
        return refs.choose(plan.target, found)
    except GitOperationFailed as error:
        if not found and not server.refs(["refs/"]):
            raise EmptyRepository(f"{plan.url}: the repository has no commit yet") from None
        raise GitOperationFailed(f"{plan.url}: {error.message}") from None


@dataclass(frozen=True)
class _Job:
    """The part of a run that needs the mirror."""

    plan: Plan
    server: SmartHttp
    mirror: Mirror
    cache: Path
    deadline: Deadline
    limits: GitLimits

    def run(self, candidates: list[Candidate], observed: Observed | None) -> GitResult:
        """A damaged mirror is emptied and filled once more before its damage counts as an error."""
        with suppress(*_DAMAGE):
            return self._attempt(candidates, observed)
        self.mirror.clear()
        try:
            return self._attempt(candidates, observed)
        except _DAMAGE as error:
            raise GitOperationFailed(f"{self.plan.url}: what the server sent is incomplete: {error!r}") from error

    def _attempt(self, candidates: list[Candidate], observed: Observed | None) -> GitResult:
        name = Shelf.name(candidates, self.plan.ignore, self.plan.directories, self.limits)
        kept = self.mirror.shelf.find(name) if len(candidates) == 1 else None
        if kept is not None:
            return GitResult(candidates[0].revision, candidates[0].commit, kept[1], kept[0])
        for candidate in candidates:
            self._ensure(candidate)
        chosen = max(candidates, key=lambda candidate: self.mirror.commit(candidate.commit).commit_time)
        commit = self.mirror.commit(chosen.commit)
        if observed is not None and observed.equals(self.plan, chosen.revision):
            return GitResult(chosen.revision, chosen.commit)
        tree = Tree(self.mirror.objects, commit.tree, self.limits, self.deadline)
        entries = tree.entries(self.plan.directories, self.plan.ignore)
        archive = self._archive(entries)
        subject = commit.message.split(b"\n", 1)[0].decode("utf-8", "replace")[:200]
        self.mirror.shelf.keep(name, archive, subject)
        return GitResult(chosen.revision, chosen.commit, subject, archive)

    def _archive(self, entries: Iterable[Entry]) -> Archive:
        """Into an anonymous file, so that nothing is left behind, however the process ends."""
        file = tempfile.TemporaryFile(dir=self.cache)  # noqa: SIM115
        try:
            return write_archive(entries, file, self.limits.archive)
        except BaseException:
            file.close()
            raise

    def _ensure(self, candidate: Candidate) -> None:
        try:
            self.mirror.ensure(self.server, candidate)
        except Refused:
            if self.plan.target.follow is not Follow.COMMIT:
                raise
            self.mirror.ensure_by_history(self.server, candidate, self._tips())

    def _tips(self) -> list[str]:
        """Where the history that should hold a fixed commit begins."""
        branch = self.plan.target.branch
        found = self.server.refs([f"refs/heads/{branch}"] if branch else ["refs/heads/", "refs/tags/"])
        tips = sorted({value for name, value in found.items() if not name.endswith("^{}")})
        if not tips:
            raise GitOperationFailed(f"{self.plan.url}: the repository has no branch {branch or 'at all'}")
        return tips
