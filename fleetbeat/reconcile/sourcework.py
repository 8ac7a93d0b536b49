"""The frame of every source's pipeline: what stays the same whether a Git server, a registry or a bucket is read.

Owns the artifact's way from a fetch to the store, the registry and the status, its retention, and what becomes of
failures. A run publishes its artifact, pokes all dependents, then finishes, so that a crash in between only repeats.
Whatever goes wrong, the last good artifact stays published. A kind adds its steps that set `work.fetched`, and what
its status says besides (`facts`); it never touches store, registry or memo itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from time import time
from typing import Any, ClassVar, TypeVar

import msgspec

from fleetbeat.api.conditions import remove_condition
from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import FENCE_KEY, parse_duration
from fleetbeat.artifacts.archive import Archive
from fleetbeat.artifacts.store import NEWEST_KEPT, Source
from fleetbeat.errors import FleetbeatError, InvalidVerificationMode, StorageFailed, VerificationFailed
from fleetbeat.reconcile import backoff
from fleetbeat.reconcile.outcome import Outcome, Status, short_revision
from fleetbeat.reconcile.politeness import rest
from fleetbeat.reconcile.run import Work
from fleetbeat.reconcile.sourceartifact import Artifact, Memo, fence_of, key_of, record_of, stored_artifact
from fleetbeat.reconcile.status import now_text
from fleetbeat.sources.pools import host_of
from fleetbeat.state import Shares
from fleetbeat.state.reasons import artifact_reason

BACKOFF_LAST = 900.0
"""Longest pause after a failure of the upstream, seconds."""

VERIFIED = "SourceVerified"
"""The condition about signatures; false is bad, other than of the conditions about failures."""

SUCCEEDED = "Succeeded"
"""Reason of a success, where a kind has no words of its own."""

REVISION_KEY = "source.toolkit.fluxcd.io/revision"
DIGEST_KEY = "source.toolkit.fluxcd.io/digest"
ORIGIN = ("org.opencontainers.image.source", "org.opencontainers.image.revision")
"""The metadata of an artifact that events tell: where its content comes from. No other is sure to be a valid name."""

SpecT = TypeVar("SpecT")


@dataclass(frozen=True)
class Fetched:
    """What upstream has now."""

    revision: str
    """As `status.artifact.revision` shows it."""
    filename: str = ""
    """The artifact's file name; unused without `archive`."""
    archive: Archive | None = None
    """None: the artifact that is stored already is still the right one. Closed by the frame."""
    note: str = ""
    """What the event says of a new artifact: `stored artifact for commit 'Fix the port'`."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """`status.artifact.metadata`, besides our own key."""
    reason: str = SUCCEEDED
    """Why Ready is true; another one than the usual is also the event's."""
    message: str = ""
    """What Ready says; empty: `stored artifact for revision …`."""


@dataclass
class SourceWork(Work[SpecT]):
    """What the steps of a source's pipeline leave for each other."""

    shares: ClassVar[Shares] = Shares.NONE
    """ALL: unchanged sources of this kind are looked at together (sharedlook.py)."""
    failures: ClassVar[tuple[str, ...]] = ("FetchFailed", "StorageOperationFailed")
    """The conditions that a success removes."""
    latest: ClassVar[str] = ""
    """File name of the stable link to the newest artifact, told in `status.url`; empty: the kind has none."""

    fetched: Fetched | None = None
    artifact: Artifact | None = None
    remembered: Memo = field(init=False)

    def __post_init__(self) -> None:
        self.remembered = Memo.read(self.memo, self.previous)

    def facts(self) -> dict[str, Any]:
        """The status fields of this kind that tell what the artifact was made of; None removes one."""
        return {}

    def mark(self, status: Status) -> None:
        """Set further conditions on the status of a success."""

    def blame(self, error: FleetbeatError) -> str:
        """The condition that this failure makes true or, of SourceVerified, false."""
        if isinstance(error, VerificationFailed | InvalidVerificationMode):
            return VERIFIED
        return "StorageOperationFailed" if isinstance(error, StorageFailed) else "FetchFailed"

    def remember(self, **facts: float | str) -> None:
        """Change the memo that this run leaves behind."""
        self.remembered = msgspec.structs.replace(self.remembered, **facts)

    @property
    def timeout(self) -> float:
        """Seconds that the fetch may take; a minute where the spec does not say."""
        return parse_duration(getattr(self.spec, "timeout", None) or "60s")

    @property
    def host(self) -> str:
        """The upstream host of `spec.url`; empty where there is none to be polite to."""
        return host_of(getattr(self.spec, "url", None) or "")

    @property
    def source(self) -> Source:
        """Whose artifacts these are."""
        return Source(self.ref.kind, self.ref.namespace, self.ref.name, self.uid)

    @property
    def previous(self) -> Artifact | None:
        """The artifact of an earlier run."""
        return stored_artifact(self.old)

    def standing(self) -> Artifact | None:
        """The artifact of an earlier run if its object is still in the store; None when it must be made (again)."""
        previous = self.previous
        if previous is None:
            return None
        if not self.remembered.believes(time()):
            if not self.ctx.store.exists(self.key(previous), previous.get("size")):
                return None
            self.remember(checked=time())
        return previous

    def key(self, artifact: Artifact) -> str:
        """Where an artifact of this source lies in S3."""
        return key_of(self.ctx.store, self.source, artifact)


def finalise(work: SourceWork[Any]) -> Outcome | None:
    """A deleted source takes its artifacts along."""
    if not work.deleting:
        return None
    work.ctx.store.delete_all(work.source)
    return Outcome(summary="Finalized", finalized=True)


def read_spec(work: SourceWork[Any]) -> Outcome | None:
    """The decoded spec."""
    work.decoded = decode_spec(KINDS[work.ref.kind], work.obj)
    return None


def keep(work: SourceWork[Any]) -> Outcome | None:
    """What is stored already and still right ends the run."""
    if _fetched(work).archive is not None:
        return None
    work.artifact = work.previous
    _publish(work)
    _collect(work)
    return _ready(work, "unchanged")


def store_artifact(work: SourceWork[Any]) -> Outcome | None:
    """The archive goes into S3, under its own digest."""
    fetched = _fetched(work)
    if fetched.archive is None:
        raise AssertionError("store_artifact runs after keep")
    with closing(fetched.archive) as archive:
        work.lease.check()
        work.ctx.store.put(work.source, fetched.filename, archive.file, archive.digest, archive.size)
        work.artifact = _artifact(work, fetched, archive)
    _count(work)
    if work.artifact["metadata"][FENCE_KEY] == str(work.fence):
        told = {name: text for name, text in fetched.metadata.items() if name in ORIGIN}
        metadata = {REVISION_KEY: fetched.revision, DIGEST_KEY: archive.digest, **told}
        reason = "NewArtifact" if fetched.reason == SUCCEEDED else fetched.reason
        work.event(reason, fetched.note, metadata=metadata)
    return None


def publish(work: SourceWork[Any]) -> Outcome | None:
    """Tell everybody who depends on this source, then finish."""
    _publish(work)
    _collect(work)
    return _ready(work, "new artifact")


def fail(work: SourceWork[Any], error: FleetbeatError) -> Outcome:
    """A failed attempt: the last good artifact stays, the next try comes after a growing pause."""
    if work.artifact is None and work.previous is not None:
        work.artifact = work.previous
        _publish(work)
    attempt = work.attempt
    status = attempt.failed(error)
    blamed = work.blame(error)
    remove_condition(status["conditions"], *work.failures)
    attempt.condition(status, blamed, "False" if blamed == VERIFIED else "True", error.reason, error.message)
    work.event(error.reason, error.message, warning=True)
    failures = work.remembered.failures + 1
    work.remember(failures=failures)
    longest = backoff.LONGEST if backoff.is_away(error) else BACKOFF_LAST
    pause = error.retry_after or backoff.pause(failures, longest=longest)
    if error.retry_after and error.asked_by:
        rest(work.ctx, error.asked_by, work.ref.namespace, error.retry_after)
    memo = msgspec.to_builtins(work.remembered)
    return Outcome(f"{error.reason}: {error.message}", status, memo, next_in=pause, error=error)


def _fetched(work: SourceWork[Any]) -> Fetched:
    if work.fetched is None:
        raise AssertionError("a step of the kind sets what was fetched first")
    return work.fetched


def _count(work: SourceWork[Any]) -> None:
    """An artifact was stored; one that was there before makes no difference to what is to be removed later."""
    artifact, previous, now = work.artifact, work.previous, time()
    work.remember(checked=now)
    if artifact is not None and (previous is None or work.key(previous) != work.key(artifact)):
        work.remember(made=now, stored=work.remembered.stored + 1)


def _artifact(work: SourceWork[Any], fetched: Fetched, archive: Archive) -> Artifact:
    """`status.artifact`; one that was merely stored again keeps its time and its fence."""
    previous = work.previous or {}
    ours = FENCE_KEY in (previous.get("metadata") or {})
    same = ours and (previous.get("digest"), previous.get("revision")) == (archive.digest, fetched.revision)
    path = f"{work.source.path}/{fetched.filename}"
    return {
        "path": path,
        "url": _url(work, fetched.filename),
        "revision": fetched.revision,
        "digest": archive.digest,
        "size": archive.size,
        "lastUpdateTime": previous["lastUpdateTime"] if same else now_text(),
        "metadata": {**fetched.metadata, FENCE_KEY: fence_of(previous) if same else str(work.fence)},
    }


def _url(work: SourceWork[Any], filename: str) -> str:
    return f"{work.ctx.settings.artifact_url}/artifacts/{work.source.path}/{filename}"


def _publish(work: SourceWork[Any]) -> None:
    """Dependents are poked when the artifact moved, or when this epoch did not know it yet."""
    artifact = work.artifact
    if artifact is None:
        return
    encoded = record_of(work.ctx.store, work.source, artifact)
    if work.ctx.state.artifact(str(work.ref)) == encoded:
        return
    work.lease.check()
    if work.ctx.state.publish_artifact(str(work.ref), encoded):
        work.ctx.state.poke_dependents(str(work.ref), artifact_reason(str(work.ref)), urgent=True)


def _collect(work: SourceWork[Any]) -> None:
    """Old artifacts go, where there are any, a minute after a new one, when no consumer reads them any more.

    A failure to remove one is worth a line in the object's events, not a failed run.
    """
    if not work.remembered.collects(time()):
        return
    work.remember(stored=NEWEST_KEPT)
    keep = {work.key(artifact) for artifact in (work.artifact, work.previous) if artifact}
    try:
        work.ctx.store.collect(work.source, keep)
    except FleetbeatError as error:
        work.event("GarbageCollectionFailed", error.message, warning=True, trace=True)


def _ready(work: SourceWork[Any], what: str) -> Outcome:
    revision = (work.artifact or {}).get("revision", "")
    attempt = work.attempt
    fetched = _fetched(work)
    message = fetched.message or f"stored artifact for revision '{revision}'"
    url = {"url": _url(work, work.latest)} if work.latest else {}
    status = attempt.ready(fetched.reason, message, artifact=work.artifact, **url, **work.facts())
    attempt.condition(status, "ArtifactInStorage", "True", fetched.reason, message)
    remove_condition(status["conditions"], *work.failures)
    work.mark(status)
    work.remember(failures=0)
    memo: dict[str, Any] = msgspec.to_builtins(work.remembered)
    return Outcome(f"Ready {short_revision(revision)} {what}", status, memo, shares=work.shares)
