"""The ArtifactGenerator pipeline: from the artifacts of several sources to ExternalArtifacts made of parts of them.

Unchanged sources cost a look at the outputs and nothing else. An output whose content did not change keeps its
revision, so that only those consumers run whose part of a repository moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from fleetbeat.api.conditions import get_condition
from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import FENCE_KEY
from fleetbeat.api.refs import Ref
from fleetbeat.api.source_extensions import ArtifactGeneratorSpec
from fleetbeat.artifacts.archive import Archive
from fleetbeat.errors import AccessDenied, FleetbeatError, InvalidSpec, SourceFetchFailed, Terminal
from fleetbeat.reconcile import backoff
from fleetbeat.reconcile.consumed import artifact_file
from fleetbeat.reconcile.externalartifacts import Metadata, Object, Outputs
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.run import Pipeline, Work
from fleetbeat.reconcile.status import now_text
from fleetbeat.sources import generate
from fleetbeat.sources.generate import Output, Tree

OUTPUT = "ExternalArtifact"
ORIGIN = "org.opencontainers.image.revision"
"""In an artifact's metadata: what it was made of in the first place."""
RETRY_SOON = 30.0
"""Seconds until another look at a source, which wakes the generator itself when it publishes."""
LONGEST_PAUSE = 900.0

Record = Mapping[str, Any]


@dataclass
class GeneratorWork(Work[ArtifactGeneratorSpec]):
    """What the steps of this pipeline leave for each other."""

    refs: dict[str, Ref] = field(default_factory=dict)
    """alias → source."""
    records: dict[str, Record] = field(default_factory=dict)
    """alias → the artifact of the source."""
    live: dict[str, Object] = field(default_factory=dict)
    """name → ExternalArtifact of the namespace."""
    inventory: list[dict[str, str]] = field(default_factory=list)
    changed: int = 0

    @property
    def outputs(self) -> Outputs:
        """What this generator makes."""
        return Outputs(self.ctx.hub, self.ctx.store, self.ref, self.uid)

    @property
    def sources_digest(self) -> str:
        """Over everything that the sources offer, as Flux computes it."""
        parts = sorted(
            f"{alias}=[digest={record['digest']},revision={record['revision']},url={record['url']}]"
            for alias, record in self.records.items()
        )
        return f"sha256:{hashlib.sha256('|'.join(parts).encode()).hexdigest()}"

    def revision_of(self, output: Output, digest: str) -> str:
        """The output's revision: a source's, or one that follows from its content."""
        return str(self.records[output.revision]["revision"]) if output.revision else f"latest@{digest}"

    def origin_of(self, output: Output) -> dict[str, str]:
        """Where the output comes from, where the spec asks for that."""
        if not output.origin:
            return {}
        record = self.records[output.origin]
        return {ORIGIN: str((record.get("metadata") or {}).get(ORIGIN) or record["revision"])}


def finalise(work: GeneratorWork) -> Outcome | None:
    """A deleted generator takes its outputs along."""
    if not work.deleting:
        return None
    outputs = work.outputs
    for obj in outputs.read().values():
        if outputs.is_ours(obj):
            work.lease.check()
            outputs.delete(obj)
    return Outcome(summary="Finalized", finalized=True)


def read_spec(work: GeneratorWork) -> Outcome | None:
    """The decoded spec, checked for what contradicts itself."""
    work.decoded = decode_spec(KINDS["ArtifactGenerator"], work.obj)
    generate.check(work.spec)
    return None


def find_sources(work: GeneratorWork) -> Outcome | None:
    """The artifact of every source; one that is about to run is waited for in silence."""
    work.refs = {source.alias: _source(work, source) for source in work.spec.sources}
    found = work.ctx.state.artifacts([str(ref) for ref in work.refs.values()])
    for alias, ref in work.refs.items():
        record = found[str(ref)]
        if record is None:
            return _without_artifact(work, ref)
        work.records[alias] = msgspec.json.decode(record)
    return None


def _source(work: GeneratorWork, source: Any) -> Ref:
    ref = Ref(source.kind, source.namespace or work.ref.namespace, source.name)
    if ref.namespace != work.ref.namespace and work.ctx.settings.no_cross_namespace_refs:
        raise AccessDenied(f"spec.sources: {ref} is in another namespace, which this installation refuses")
    return ref


def _without_artifact(work: GeneratorWork, ref: Ref) -> Outcome:
    known = work.ctx.state.look(str(ref))
    if known is None:
        raise SourceFetchFailed(
            f"spec.sources: {ref} does not exist or its status has no artifact", retry_after=RETRY_SOON
        )
    ready = get_condition(msgspec.json.decode(known.status or b"{}").get("conditions") or [], "Ready")
    if ready is not None and ready["status"] == "False":
        raise SourceFetchFailed(f"{ref} has no artifact: {ready['message']}", retry_after=RETRY_SOON)
    return Outcome(summary=f"waiting for {ref} to run", next_in=RETRY_SOON)


def skip_unchanged(work: GeneratorWork) -> Outcome | None:
    """Equal sources, this generation, and every output as it was left: nothing to do."""
    work.live = work.outputs.read()
    ready = get_condition(work.old.get("conditions") or [], "Ready") or {}
    if (ready.get("status"), ready.get("observedGeneration")) != ("True", work.generation):
        return None
    if work.old.get("observedSourcesDigest") != work.sources_digest or not _outputs_stand(work):
        return None
    work.inventory = work.old.get("inventory") or []
    return _ready(work, "unchanged")


def _outputs_stand(work: GeneratorWork) -> bool:
    inventory = {entry["name"]: entry for entry in work.old.get("inventory") or []}
    mine = {name: obj for name, obj in work.live.items() if work.outputs.is_ours(obj)}
    if mine.keys() != inventory.keys():
        return False
    for name, entry in inventory.items():
        if _artifact_of(mine[name]).get("digest") != entry["digest"]:
            return False
        if not work.outputs.is_kept(mine[name], entry["filename"], entry["digest"]):
            return False
    return True


def generate_all(work: GeneratorWork) -> Outcome | None:
    """Make every output and publish those that changed."""
    scratch = work.ctx.directory("generate")
    files = {alias: artifact_file(work.ctx, record) for alias, record in work.records.items()}
    with generate.opened(files, scratch) as trees:
        outputs = generate.outputs(work.spec, trees)
        _refuse_itself(work, outputs)
        for output in outputs:
            _generate(work, output, trees)
    return None


def _refuse_itself(work: GeneratorWork, outputs: Sequence[Output]) -> None:
    """An artifact that is made of itself never comes to rest."""
    taken = {ref.name for ref in work.refs.values() if (ref.kind, ref.namespace) == (OUTPUT, work.ref.namespace)}
    for output in outputs:
        if output.name in taken:
            raise InvalidSpec(f"spec.artifacts: {output.name!r} is one of the sources too; give it another name")


def _generate(work: GeneratorWork, output: Output, trees: Mapping[str, Tree]) -> None:
    with closing(generate.make(output, trees, work.ctx.directory("generate"))) as archive:
        work.lease.check()
        obj = _written(work, output)
        filename = f"{archive.digest.partition(':')[2]}.tar.gz"
        artifact = _artifact(work, output, obj, filename, archive)
        if _artifact_of(obj) != artifact or not work.outputs.is_kept(obj, filename, archive.digest):
            work.outputs.keep(obj, filename, archive)
        if _artifact_of(obj) != artifact:
            work.outputs.announce(obj, artifact)
            work.outputs.collect(obj, filename, archive.digest)
            work.changed += 1
    entry = {"name": output.name, "namespace": work.ref.namespace, "digest": archive.digest, "filename": filename}
    work.inventory.append(entry)


def _written(work: GeneratorWork, output: Output) -> Object:
    """The ExternalArtifact as it is to be; written only when it was not left so by an earlier run."""
    common = work.spec.common_metadata
    labels = {**output.labels, **(common.labels if common else {})}
    desired = work.outputs.desired(output.name, Metadata(labels, common.annotations if common else {}))
    live, applied = work.live.get(output.name), work.memo.setdefault("applied", {})
    print_ = hashlib.sha256(orjson.dumps(desired, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
    if live is not None and applied.get(output.name) == print_ and _bears(live, desired):
        return live
    written = work.outputs.apply(desired, live)
    applied[output.name] = print_
    return written


def _bears(live: Mapping[str, Any], desired: Mapping[str, Any]) -> bool:
    """Whether a foreign hand has left alone what we wrote."""
    fields = ("labels", "annotations")
    kept = all(
        (desired["metadata"][name] or {}).items() <= (live["metadata"].get(name) or {}).items() for name in fields
    )
    return kept and live.get("spec") == desired["spec"]


def _artifact(work: GeneratorWork, output: Output, obj: Object, filename: str, archive: Archive) -> Object:
    """`status.artifact`; one that was merely made again keeps its time and its fence."""
    before, revision = _artifact_of(obj), work.revision_of(output, archive.digest)
    metadata = dict(before.get("metadata") or {})
    same = FENCE_KEY in metadata and (before.get("digest"), before.get("revision")) == (archive.digest, revision)
    path = f"{work.outputs.source(obj).path}/{filename}"
    return {
        "path": path,
        "url": f"{work.ctx.settings.artifact_url}/artifacts/{path}",
        "revision": revision,
        "digest": archive.digest,
        "size": archive.size,
        "lastUpdateTime": before["lastUpdateTime"] if same else now_text(),
        "metadata": {**work.origin_of(output), FENCE_KEY: metadata[FENCE_KEY] if same else str(work.fence)},
    }


def _artifact_of(obj: Mapping[str, Any]) -> Object:
    return (obj.get("status") or {}).get("artifact") or {}


def delete_stale(work: GeneratorWork) -> Outcome | None:
    """Outputs that are no longer declared go."""
    wanted = {entry["name"] for entry in work.inventory}
    for name, obj in work.live.items():
        if name not in wanted and work.outputs.is_ours(obj):
            work.lease.check()
            work.outputs.delete(obj)
            work.memo.get("applied", {}).pop(name, None)
            work.changed += 1
    return _ready(work, f"{work.changed} changed")


def _ready(work: GeneratorWork, what: str) -> Outcome:
    message = f"reconciliation succeeded, generated {len(work.inventory)} artifact(s)"
    if work.changed:
        work.event("Succeeded", message)
    status = work.attempt.ready(
        "Succeeded", message, inventory=work.inventory or None, observedSourcesDigest=work.sources_digest
    )
    memo = {"applied": work.memo.get("applied", {})}
    return Outcome(f"Ready {len(work.inventory)} artifacts, {what}", status, memo)


def fail(work: GeneratorWork, error: FleetbeatError) -> Outcome:
    """A failed attempt: the outputs stay as they are; the next try comes after a growing pause."""
    status = work.attempt.failed(error)
    work.event(error.reason, error.message, warning=True)
    failures = int(work.memo.get("failures", 0)) + 1
    pause = error.retry_after or backoff.pause(failures, longest=LONGEST_PAUSE)
    next_in = None if isinstance(error, Terminal) else pause
    memo = {"applied": work.memo.get("applied", {}), "failures": failures}
    return Outcome(f"{error.reason}: {error.message}", status, memo, next_in=next_in, error=error)


PIPELINE = Pipeline(
    work=GeneratorWork,
    steps=(finalise, read_spec, find_sources, skip_unchanged, generate_all, delete_stale),
    on_error=fail,
)
"""What a run of an ArtifactGenerator does."""
