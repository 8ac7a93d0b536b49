"""The GitRepository pipeline: from a ref of a Git server to an artifact that everybody can read.

An unchanged ref costs one round trip to the server, which sweeps share (sourcesweep.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from fleetbeat.api.source import GitRepositorySpec, GitRepositoryStatus
from fleetbeat.errors import AuthenticationFailed
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.run import Pipeline
from fleetbeat.reconcile.sourcework import (
    Fetched,
    SourceWork,
    fail,
    finalise,
    keep,
    publish,
    read_spec,
    store_artifact,
    wait_turn,
)
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.sources.credentials import HttpCredentials, git_http_credentials
from fleetbeat.sources.git import Deadline, Observed, fetch


@dataclass
class GitWork(SourceWork[GitRepositorySpec]):
    """What the steps of this pipeline leave for each other."""

    sweepable: ClassVar[bool] = True

    credentials: HttpCredentials | None = None

    def facts(self) -> dict[str, Any]:
        """What the artifact was made of."""
        return {
            "observedIgnore": self.spec.ignore,
            "observedSparseCheckout": list(self.spec.sparse_checkout) or None,
        }


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
    """Ask the server; the tree of a new commit becomes an archive straight from the object store."""
    found = fetch(
        work.spec,
        work.credentials,
        _observed(work),
        work.ctx.directory("git"),
        Deadline.after(work.timeout),
        cache_bytes=work.ctx.caches.git_bytes,
    )
    note = f"stored artifact for commit '{found.subject}'"
    work.fetched = Fetched(found.revision, found.filename, found.archive, note)
    return None


def _observed(work: GitWork) -> Observed | None:
    """What the stored artifact was made of; None when it must be made again."""
    return Observed.of(msgspec.convert(work.old, GitRepositoryStatus)) if work.standing() else None


PIPELINE = Pipeline(
    work=GitWork,
    steps=(finalise, read_spec, wait_turn, read_credentials, fetch_commit, keep, store_artifact, publish),
    on_error=fail,
)
"""What a run of a GitRepository does."""
