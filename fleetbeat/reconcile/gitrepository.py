"""The GitRepository pipeline: from a ref of a Git server to an artifact that everybody can read.

An unchanged ref costs one round trip to the server, which sweeps share (sourcesweep.py). A run publishes its artifact,
pokes all dependents, then finishes, so that a crash in between only repeats. Whatever goes wrong, the last good
artifact stays published.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from time import time
from typing import Any

import msgspec

from fleetbeat.api.conditions import remove_condition
from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import FENCE_KEY, parse_duration
from fleetbeat.api.source import GitRepositorySpec, GitRepositoryStatus
from fleetbeat.artifacts.archive import Archive
from fleetbeat.artifacts.store import NEWEST_KEPT, Source
from fleetbeat.errors import AuthenticationFailed, FleetbeatError, StorageFailed
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile import backoff
from fleetbeat.reconcile.gitartifact import Artifact, Memo, fence_of, key_of, record_of, stored_artifact
from fleetbeat.reconcile.outcome import Outcome, short_revision
from fleetbeat.reconcile.run import Pipeline, Work
from fleetbeat.reconcile.status import now_text
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.sources.credentials import HttpCredentials, git_http_credentials
from fleetbeat.sources.git import Deadline, GitResult, Observed, fetch

BACKOFF_LAST = 900.0
"""Longest pause after a failure of the Git server, seconds."""


@dataclass
class GitWork(Work[GitRepositorySpec]):
    """What the steps of this pipeline leave for each other."""

    credentials: HttpCredentials | None = None
    fetched: GitResult | None = None
    artifact: Artifact | None = None
    remembered: Memo = field(init=False)

    def __post_init__(self) -> None:
        self.remembered = Memo.read(self.memo, self.previous)

    def remember(self, **facts: float) -> None:
        """Change the memo that this run leaves behind."""
        self.remembered = msgspec.structs.replace(self.remembered, **facts)

    @property
    def timeout(self) -> float:
        """Seconds that the fetch may take."""
        return parse_duration(self.spec.timeout)

    @property
    def source(self) -> Source:
        """Whose artifacts these are."""
        return Source(self.ref.kind, self.ref.namespace, self.ref.name, self.uid)

    @property
    def previous(self) -> Artifact | None:
        """The artifact of an earlier run."""
        return stored_artifact(self.old)

    def key(self, artifact: Artifact) -> str:
        """Where an artifact of this source lies in S3."""
        return key_of(self.ctx.store, self.source, artifact)


def finalise(work: GitWork) -> Outcome | None:
    """A deleted source takes its artifacts along."""
    if not work.deleting:
        return None
    work.ctx.store.delete_all(work.source)
    return Outcome(summary="Finalized", finalized=True)


def read_spec(work: GitWork) -> Outcome | None:
    """The decoded spec."""
    work.decoded = decode_spec(KINDS["GitRepository"], work.obj)
    return Outcome(summary="suspended") if work.spec.suspend else None


def read_credentials(work: GitWork) -> Outcome | None:
    """The Secret of `spec.secretRef`, read from the hub for this run only."""
    if work.spec.secret_ref is None:
        return None
    work.credentials = account_of(work.ctx.targets.reader, work.ref.namespace, work.spec.secret_ref.name)
    return None


def account_of(reader: HubReader, namespace: str, name: str) -> HttpCredentials:
    """The account in a Secret; raises AuthenticationFailed when it is missing or of no use."""
    try:
        data = reader.secret(namespace, name)
    except NotFound as error:
        raise AuthenticationFailed(f"spec.secretRef: Secret {namespace}/{name} not found") from error
    return git_http_credentials(data, f"{namespace}/{name}")


def fetch_commit(work: GitWork) -> Outcome | None:
    """Ask the server; an unchanged revision whose artifact is still stored ends the run."""
    caches = work.ctx.caches
    work.fetched = fetched = fetch(
        work.spec,
        work.credentials,
        _observed(work),
        work.ctx.directory("git"),
        Deadline.after(work.timeout),
        cache_bytes=caches.git_bytes,
    )
    if fetched.archive is not None:
        return None
    work.artifact = work.previous
    _publish(work)
    _collect(work)
    return _ready(work, "unchanged")


def _observed(work: GitWork) -> Observed | None:
    """What the stored artifact was made of; None when its object is gone and must be made again."""
    previous = work.previous
    if previous is None:
        return None
    if not work.remembered.believes(time()):
        if not work.ctx.store.exists(work.key(previous), previous.get("size")):
            return None
        work.remember(checked=time())
    return Observed.of(msgspec.convert(work.old, GitRepositoryStatus))


def store_artifact(work: GitWork) -> Outcome | None:
    """The commit's tree as a reproducible archive, straight from the object store into S3."""
    fetched = work.fetched
    if fetched is None or fetched.archive is None:
        raise AssertionError("store_artifact runs after fetch_commit")
    with closing(fetched.archive) as archive:
        work.lease.check()
        work.ctx.store.put(work.source, fetched.filename, archive.file, archive.digest, archive.size)
        work.artifact = _artifact(work, fetched, archive)
    _count(work)
    if work.artifact["metadata"][FENCE_KEY] == str(work.fence):
        metadata = {"revision": fetched.revision, "digest": archive.digest}
        work.event("NewArtifact", f"stored artifact for commit '{fetched.subject}'", metadata=metadata)
    return None


def _count(work: GitWork) -> None:
    """An artifact was stored; one that was there before makes no difference to what is to be removed later."""
    artifact, previous, now = work.artifact, work.previous, time()
    work.remember(checked=now)
    if artifact is not None and (previous is None or work.key(previous) != work.key(artifact)):
        work.remember(made=now, stored=work.remembered.stored + 1)


def _artifact(work: GitWork, fetched: GitResult, archive: Archive) -> Artifact:
    """`status.artifact`; one that was merely stored again keeps its time and its fence."""
    previous = work.previous or {}
    ours = FENCE_KEY in (previous.get("metadata") or {})
    same = ours and (previous.get("digest"), previous.get("revision")) == (archive.digest, fetched.revision)
    path = f"{work.source.path}/{fetched.filename}"
    return {
        "path": path,
        "url": f"{work.ctx.settings.artifact_url}/artifacts/{path}",
        "revision": fetched.revision,
        "digest": archive.digest,
        "size": archive.size,
        "lastUpdateTime": previous["lastUpdateTime"] if same else now_text(),
        "metadata": {FENCE_KEY: fence_of(previous) if same else str(work.fence)},
    }


def publish(work: GitWork) -> Outcome | None:
    """Tell everybody who depends on this source, then finish."""
    _publish(work)
    _collect(work)
    return _ready(work, "new artifact")


def _publish(work: GitWork) -> None:
    """Dependents are poked when the artifact moved, or when this epoch did not know it yet."""
    artifact = work.artifact
    if artifact is None:
        return
    encoded = record_of(work.ctx.store, work.source, artifact)
    if work.ctx.state.artifact(str(work.ref)) == encoded:
        return
    work.lease.check()
    if work.ctx.state.publish_artifact(str(work.ref), encoded):
        work.ctx.state.poke_dependents(str(work.ref), f"{work.ref} {artifact['revision']}", urgent=True)


def _collect(work: GitWork) -> None:
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


def _ready(work: GitWork, what: str) -> Outcome:
    revision = (work.artifact or {}).get("revision", "")
    attempt = work.attempt
    message = f"stored artifact for revision '{revision}'"
    status = attempt.ready(
        "Succeeded",
        message,
        artifact=work.artifact,
        observedIgnore=work.spec.ignore,
        observedSparseCheckout=list(work.spec.sparse_checkout) or None,
    )
    attempt.condition(status, "ArtifactInStorage", "True", "Succeeded", message)
    for kind in ("FetchFailed", "StorageOperationFailed"):
        remove_condition(status["conditions"], kind)
    work.remember(failures=0)
    memo: dict[str, Any] = msgspec.to_builtins(work.remembered)
    return Outcome(f"Ready {short_revision(revision)} {what}", status, memo, sweepable=True)


def fail(work: GitWork, error: FleetbeatError) -> Outcome:
    """A failed attempt: the last good artifact stays, the next try comes after a growing pause."""
    if work.artifact is None and work.previous is not None:
        work.artifact = work.previous
        _publish(work)
    attempt = work.attempt
    status = attempt.failed(error)
    kind = "StorageOperationFailed" if isinstance(error, StorageFailed) else "FetchFailed"
    attempt.condition(status, kind, "True", error.reason, error.message)
    work.event(error.reason, error.message, warning=True)
    failures = work.remembered.failures + 1
    work.remember(failures=failures)
    longest = backoff.LONGEST if backoff.is_away(error) else BACKOFF_LAST
    pause = error.retry_after or backoff.pause(failures, longest=longest)
    memo = msgspec.to_builtins(work.remembered)
    return Outcome(f"{error.reason}: {error.message}", status, memo, next_in=pause, error=error)


PIPELINE = Pipeline(
    work=GitWork,
    steps=(finalise, read_spec, read_credentials, fetch_commit, store_artifact, publish),
    on_error=fail,
)
"""What a run of a GitRepository does."""
