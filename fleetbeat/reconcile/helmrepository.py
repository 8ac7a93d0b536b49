"""The HelmRepository pipeline: the index of a chart repository becomes an artifact that HelmCharts choose from.

One of type oci has nothing to fetch: its HelmCharts ask the registry themselves. A run meets such a one only when it
was of the default type before; it removes what that left behind and lets the object go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fleetbeat.api.source import HelmRepositorySpec
from fleetbeat.errors import IndexNotFetched
from fleetbeat.reconcile.helmaccess import HelmAccess
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.politeness import wait_turn
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
)
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.helm.fetch import IndexResult, fetch_index
from fleetbeat.sources.helm.http import shown


@dataclass
class HelmRepositoryWork(SourceWork[HelmRepositorySpec]):
    """What the steps of this pipeline leave for each other."""

    latest: ClassVar[str] = "index.yaml"

    def validator_of(self, revision: str | None) -> str:
        """What the server gave for exactly that index under this spec; empty when nothing is remembered of it."""
        known = f"{revision} {self.generation} "
        text = self.remembered.validator
        return text.removeprefix(known) if revision and text.startswith(known) else ""


def release_static(work: HelmRepositoryWork) -> Outcome | None:
    """A repository of type oci has no artifact, no status and no finalizer."""
    if work.spec.type != "oci":
        return None
    work.ctx.store.delete_all(work.source)
    return Outcome(summary="static: HelmCharts read the registry themselves", released=True)


def fetch(work: HelmRepositoryWork) -> Outcome | None:
    """Ask for the index; one that changed is turned into our JSON."""
    access = HelmAccess(work.ctx, work.ref.namespace)
    server = access.server(work.spec, Deadline.after(work.timeout, IndexNotFetched))
    standing = work.standing()
    observed = standing["revision"] if standing else None
    found = fetch_index(server, observed, work.validator_of(observed), work.ctx.directory("helm"))
    work.remember(validator=f"{found.revision} {work.generation} {found.validator}" if found.validator else "")
    filename = f"index-{found.revision.partition(':')[2]}.yaml"
    work.fetched = Fetched(found.revision, filename, found.archive, _note(found, work.spec.url))
    return None


def _note(found: IndexResult, url: str) -> str:
    return f"stored fetched index of size {found.size / 1000:.2f}kB from '{shown(url)}'"


PIPELINE = Pipeline(
    work=HelmRepositoryWork,
    steps=(finalise, read_spec, release_static, wait_turn, fetch, keep, store_artifact, publish),
    on_error=fail,
)
"""What a run of a HelmRepository does."""
