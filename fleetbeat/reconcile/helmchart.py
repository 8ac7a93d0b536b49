"""The HelmChart pipeline: from a chart in a repository, or in another source's artifact, to a package in the store."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, cast

import msgspec

from fleetbeat.api.conditions import get_condition
from fleetbeat.api.refs import Ref
from fleetbeat.api.source import HelmChartSpec, HelmRepositorySpec
from fleetbeat.errors import (
    ChartFailed,
    ChartUnverified,
    FleetbeatError,
    InvalidSpec,
    NoSourceArtifact,
    SourceUnavailable,
)
from fleetbeat.reconcile.consumed import artifact_file
from fleetbeat.reconcile.helmaccess import HELM_REPOSITORY, Dependencies, HelmAccess, place_of
from fleetbeat.reconcile.ocisignatures import SignatureCheck, mark_verified
from fleetbeat.reconcile.outcome import Outcome, Status
from fleetbeat.reconcile.politeness import put_off
from fleetbeat.reconcile.run import Pipeline
from fleetbeat.reconcile.sourceartifact import Artifact
from fleetbeat.reconcile.sourcework import (
    VERIFIED,
    Fetched,
    SourceWork,
    fail,
    finalise,
    keep,
    publish,
    read_spec,
    store_artifact,
)
from fleetbeat.sources.helm.build import Built, Options, from_repository, from_tree, marked
from fleetbeat.sources.helm.repositories import ChartRepository
from fleetbeat.sources.helm.tree import SourceTree
from fleetbeat.sources.pools import host_of

RETRY_SOON = 30.0
"""Seconds until a source is looked for again that will wake the chart itself, normally."""
SHORT_HASH = 12
"""Digits of a source's revision in a chart's version."""


@dataclass
class ChartWork(SourceWork[HelmChartSpec]):
    """What the steps of this pipeline leave for each other."""

    latest: ClassVar[str] = "latest.tar.gz"
    failures: ClassVar[tuple[str, ...]] = ("FetchFailed", "BuildFailed", "StorageOperationFailed")

    repository: HelmRepositorySpec | None = None
    """Where the chart is listed; None for a chart in the artifact of another source."""
    origin: Artifact | None = None
    """The source's artifact as the registry has it; None for a HelmRepository of type oci."""
    built: Built | None = None
    """None: nothing was looked at, because nothing can have changed."""
    check: SignatureCheck | None = None
    """Of the chart's signatures; set where the spec wants one."""

    def facts(self) -> dict[str, Any]:
        """What the artifact was made of."""
        facts: dict[str, Any] = {"observedSourceArtifactRevision": self.revision or None}
        if self.built is not None:
            facts["observedChartName"] = self.built.name
            if self.built.archive is not None:
                facts["observedValuesFiles"] = list(self.built.values_files) or None
        return facts

    def blame(self, error: FleetbeatError) -> str:
        """A chart that cannot be built is told apart from a source that cannot be read."""
        if isinstance(error, InvalidSpec) and self.check is not None and not self.check.passed:
            return VERIFIED
        return "BuildFailed" if isinstance(error, ChartFailed) else super().blame(error)

    def mark(self, status: Status) -> None:
        """SourceVerified."""
        mark_verified(self, status, self.check)

    @property
    def revision(self) -> str:
        """The source's revision; empty for a registry."""
        return self.origin["revision"] if self.origin else ""

    @property
    def source_ref(self) -> Ref:
        """The source, which is of the same namespace."""
        return Ref(self.spec.source_ref.kind, self.ref.namespace, self.spec.source_ref.name)

    @property
    def options(self) -> Options:
        """What the spec asks of the chart; the version's metadata tells what it was made with besides the chart."""
        marks = []
        if self.spec.reconcile_strategy == "Revision" and self.repository is None:
            marks.append(self.revision.rpartition(":")[2][:SHORT_HASH])
        if self.spec.values_files:
            marks.append(str(self.generation))
        return Options(self.spec.values_files, self.spec.ignore_missing_values_files, ".".join(marks))

    def current(self) -> Artifact | None:
        """The stored package, if it was made for this generation of the spec and is still in the store."""
        made = get_condition(self.old.get("conditions") or [], "ArtifactInStorage")
        if made is None or (made["status"], made.get("observedGeneration")) != ("True", self.generation):
            return None
        return self.standing()

    def has(self, name: str, version: str) -> bool:
        """Whether that chart is what is stored."""
        artifact = self.current()
        if artifact is None or (self.old.get("observedChartName"), artifact["revision"]) != (name, version):
            return False
        return self.check is None or not self.check.is_due(str(place_of(self.repository, name)))


def find_source(work: ChartWork) -> Outcome | None:
    """The source's artifact, or a registry, which needs none."""
    source = work.source_ref
    if source.kind == HELM_REPOSITORY:
        work.repository = HelmAccess(work.ctx, work.ref.namespace).spec(source.name)
        if work.repository.type == "oci":
            work.check = SignatureCheck(work, work.spec.verify) if work.spec.verify is not None else None
            return None
    if work.spec.verify is not None:
        raise InvalidSpec("spec.verify is for charts of a HelmRepository of type oci only; remove it")
    record = work.ctx.state.artifact(str(source))
    if record is None:
        return _without_artifact(work, source)
    work.origin = msgspec.json.decode(record)
    return None


def _without_artifact(work: ChartWork, source: Ref) -> Outcome:
    """A source that is about to run is waited for in silence: its artifact pokes this ref."""
    if source.kind not in work.ctx.settings.owned_kinds:
        raise SourceUnavailable(f"spec.sourceRef: this installation does not reconcile {source.kind} objects")
    found = work.ctx.state.look(str(source))
    if found is None:
        raise SourceUnavailable(f"spec.sourceRef: {source} not found")
    status = msgspec.json.decode(found.status or b"{}")
    ready = get_condition(status.get("conditions") or [], "Ready")
    if ready is not None and ready["status"] == "False" and not status.get("artifact"):
        raise NoSourceArtifact(f"{source} has no artifact: {ready['message']}", retry_after=RETRY_SOON)
    return Outcome(summary=f"waiting for {source} to run", next_in=RETRY_SOON)


def skip_settled(work: ChartWork) -> Outcome | None:
    """The same source and the same spec give the same chart."""
    seen = work.old.get("observedSourceArtifactRevision")
    if work.origin is not None and seen == work.revision and (current := work.current()) is not None:
        work.fetched = _kept(work, current["revision"])
    return None


def build_chart(work: ChartWork) -> Outcome | None:
    """The chart as a package, unless the stored one is the right one."""
    if work.fetched is not None:
        return None
    out = cast("BinaryIO", tempfile.TemporaryFile(dir=work.ctx.directory("helm")))  # noqa: SIM115 - the frame closes it
    try:
        waiting = _from_repository(work, out) if work.repository is not None else _from_artifact(work, out)
    except BaseException:
        out.close()
        raise
    if waiting is not None or work.built is None or work.built.archive is None:
        out.close()
    if work.built is not None:
        work.fetched = _fetched(work, work.built)
    return waiting


def _from_repository(work: ChartWork, out: BinaryIO) -> Outcome | None:
    assert work.repository is not None  # noqa: S101 - set by find_source
    repository = _repository(work)
    host = host_of(work.repository.url)
    if work.origin is None and (waiting := put_off(work, host)):
        return waiting
    found = repository.find(work.spec.chart, work.spec.version)
    version = marked(found, work.options)
    if work.has(found.name, version):
        work.built = Built(found.name, version, None)
        return None
    if work.origin is not None and (waiting := put_off(work, host)):
        return waiting
    work.built = from_repository(repository, found, work.options, out)
    return None


def _repository(work: ChartWork) -> ChartRepository:
    access = HelmAccess(work.ctx, work.ref.namespace)
    assert work.repository is not None  # noqa: S101 - set by find_source
    if work.origin is None:
        return access.registry(work.repository, work.check)
    return access.indexed(work.repository, artifact_file(work.ctx, work.origin))


def _from_artifact(work: ChartWork, out: BinaryIO) -> Outcome | None:
    assert work.origin is not None  # noqa: S101 - set by find_source
    artifact = artifact_file(work.ctx, work.origin)
    scratch = work.ctx.directory("helm")
    with SourceTree(artifact, scratch) as tree, Dependencies(HelmAccess(work.ctx, work.ref.namespace)) as repositories:
        work.built = from_tree(tree, work.spec.chart, work.options, work.has, repositories, out)
    return None


def _fetched(work: ChartWork, built: Built) -> Fetched:
    if built.archive is None:
        return _kept(work, built.version)
    filename, summary = f"{built.name}-{built.version}.tgz", built.summary
    return Fetched(built.version, filename, built.archive, summary, reason=built.reason, message=summary)


def _kept(work: ChartWork, version: str) -> Fetched:
    """The stored chart, with the words that it was stored with."""
    made = get_condition(work.old.get("conditions") or [], "ArtifactInStorage") or {}
    return Fetched(version, reason=made.get("reason", "Succeeded"), message=made.get("message", ""))


def fail_chart(work: ChartWork, error: FleetbeatError) -> Outcome:
    """As any source fails; a signature that does not hold is also told where consumers look for it."""
    outcome = fail(work, error)
    if isinstance(error, ChartUnverified) and outcome.status is not None:
        work.attempt.condition(outcome.status, VERIFIED, "False", error.reason, error.message)
    return outcome


PIPELINE = Pipeline(
    work=ChartWork,
    steps=(finalise, read_spec, find_source, skip_settled, build_chart, keep, store_artifact, publish),
    on_error=fail_chart,
)
"""What a run of a HelmChart does."""
