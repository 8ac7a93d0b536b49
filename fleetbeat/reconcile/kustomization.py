"""The Kustomization pipeline: from a source's artifact to objects on a cluster, as a literal list of steps.

Each step reads what earlier ones left on the workbench and either goes on (None) or ends the run (an Outcome).
Nothing here waits: an object that is not healthy yet, a dependency, a missing artifact all end the run with the time
of the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time

import msgspec

from fleetbeat.api.conditions import get_condition, is_ready
from fleetbeat.api.kinds import APPLIERS
from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.errors import ArtifactFailed
from fleetbeat.kube import marks
from fleetbeat.kube.apply import ApplyFailed, ApplyOptions, apply_set
from fleetbeat.kube.ledger import LedgerEntry
from fleetbeat.reconcile import decryption as decryption_keys
from fleetbeat.reconcile import dependencies, variables
from fleetbeat.reconcile.accepting import read_spec
from fleetbeat.reconcile.bookkeeping import open_ledger, save_intent
from fleetbeat.reconcile.consumed import artifact_file
from fleetbeat.reconcile.failure import fail
from fleetbeat.reconcile.finalise import finalise
from fleetbeat.reconcile.health import fleeting
from fleetbeat.reconcile.healthwait import check_health, resume_wait
from fleetbeat.reconcile.kustomization_work import RETRY_SOON, KustomizationWork
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.pruning import prune_stale, tell_brake
from fleetbeat.reconcile.run import Pipeline
from fleetbeat.reconcile.vouching import vouched
from fleetbeat.render.kustomize import render
from fleetbeat.render.links import told
from fleetbeat.state import Shares

FULL_EVERY = 3600.0
"""Seconds after which a ref gets a whole run, by dry run of every object, although nothing changed."""
APPLY_VALID = "fleetbeat.io/apply-valid"
"""Annotation of a Kustomization: `enabled` applies what the API server accepts although it refuses other objects."""


def find_source(work: KustomizationWork) -> Outcome | None:
    """The artifact that the source published in this epoch; without one the run waits for the source's poke."""
    reference = work.spec.source_ref
    work.source = source = Ref(reference.kind, reference.namespace or work.ref.namespace, reference.name)
    record = work.ctx.state.artifact(str(source))
    if record is None:
        return _without_artifact(work, source)
    work.artifact = msgspec.json.decode(record)
    return None


def _without_artifact(work: KustomizationWork, source: Ref) -> Outcome:
    """A source that is about to run is waited for in silence: its artifact pokes this ref."""
    if source.kind not in work.ctx.settings.owned_kinds:
        others = (
            f"; this installation does not reconcile {source.kind} objects and uses what their own controller offers"
        )
        others = "" if source.kind == "ExternalArtifact" else others
        raise ArtifactFailed(
            f"spec.sourceRef: {source} does not exist or its status has no artifact{others}", retry_after=RETRY_SOON
        )
    found = work.ctx.state.look(str(source))
    if found is None:
        raise ArtifactFailed(f"spec.sourceRef: {source} not found")
    status = msgspec.json.decode(found.status or b"{}")
    ready = get_condition(status.get("conditions") or [], "Ready")
    if ready is not None and ready["status"] == "False" and not status.get("artifact"):
        raise ArtifactFailed(f"{source} has no artifact: {ready['message']}", retry_after=RETRY_SOON)
    return Outcome(summary=f"waiting for {source} to run", next_in=RETRY_SOON)


def skip_settled(work: KustomizationWork) -> Outcome | None:
    """A dependency that became ready means nothing to who is ready already."""
    news = [reason for reason in work.why.split(", ") if reason and not reason.startswith("dependency ")]
    settled = (True, work.revision, work.generation)
    old = work.old
    if news or not work.why or work.requested or not work.memo.get("fp"):
        return None
    if (is_ready(old), old.get("lastAppliedRevision"), old.get("observedGeneration")) != settled:
        return None
    return Outcome(summary=f"Ready {work.revision}, nothing to do", shares=Shares.ALL)


def await_dependencies(work: KustomizationWork) -> Outcome | None:
    """Every `spec.dependsOn` entry is ready, at this revision where it shares the source; none of them waits for us."""
    if not work.spec.depends_on:
        return None
    _refuse_cycle(work)
    wanted = dependencies.depends_on(work.ref, work.obj)
    look = dependencies.reader(work.ctx.state, work.ctx.settings.owned_kinds, wanted)
    dependencies.require_ready(work.ref, work.obj, work.revision, look)
    return None


def _refuse_cycle(work: KustomizationWork) -> None:
    """Looked for once a generation: whoever closes a cycle later finds it, and wakes those before it by name."""
    if work.memo.get("acyclic") == work.generation and "cycle" not in work.why:
        return
    work.cycle = work.ctx.state.cycle(str(work.ref), APPLIERS)
    dependencies.refuse_cycle(work.ref, work.cycle)
    work.memo["acyclic"] = work.generation


def reach_cluster(work: KustomizationWork) -> Outcome | None:
    """The clients of the target cluster, whole objects through the tenant's account."""
    work.target = work.ctx.targets.reach(work.reach, work.account)
    return None


def fetch_artifact(work: KustomizationWork) -> Outcome | None:
    """The artifact's file, by digest from the cache on disk, from S3 or from whoever made it."""
    work.file = artifact_file(work.ctx, work.got)
    return None


def gather_variables(work: KustomizationWork) -> Outcome | None:
    """The variables of `spec.postBuild`, read from the hub."""
    post_build = (work.obj.get("spec") or {}).get("postBuild")
    if post_build:
        work.variables = variables.gather(work.ctx.targets.reader, work.ref.namespace, post_build)
    return None


def gather_keys(work: KustomizationWork) -> Outcome | None:
    """The keys of `spec.decryption`, read from the hub, and who asks key services."""
    decryption = work.spec.decryption
    if decryption is not None:
        reader = work.ctx.targets.reader
        work.keys = decryption_keys.gather(reader, work.ref.namespace, decryption, work.ctx.settings)
    return None


def build(work: KustomizationWork) -> Outcome | None:
    """The objects that the artifact asks for."""
    assert work.file is not None  # noqa: S101 - set by fetch_artifact
    try:
        with told(work.left_out.__contains__):
            work.rendered = render(
                work.ctx.engine,
                work.file,
                work.got["digest"],
                work.obj["spec"],
                work.variables,
                keys=work.keys,
                cache=work.ctx.renders,
                strict=work.ctx.settings.strict_substitution,
                timeout=work.timeout,
                digest_key=work.ctx.digest_key,
            )
    except ArtifactFailed as error:
        if work.file.exists():
            raise
        raise ArtifactFailed("the cache was emptied during the build; building again", retry_after=1.0) from error
    for note in work.rendered.notes:
        work.event("BuildWarning", note, warning=True, metadata=work.metadata)
    return None


def apply(work: KustomizationWork) -> Outcome | None:
    """Everything intended into the ledger, then dry-run and apply in stages."""
    save_intent(work)
    try:
        work.result = result = apply_set(work.on, work.built.objects, work.book, _options(work))
    except ApplyFailed as error:
        work.changes = error.result.changes
        _tell_changes(work)
        _remember(work, error.result.entries)
        raise
    work.changes = result.changes
    made_again = set(fleeting(work.built.objects))
    for change in result.changes:
        expected = change.action == "created" and change.id.inventory_id in made_again
        if change.drift and not expected:
            told = f"{change.id}: {'; '.join(change.drift)}; {marks.MANAGER} owns it again"
            work.event("DriftCorrected", told, metadata=work.metadata)
    return None


def _remember(work: KustomizationWork, written: Mapping[ObjectId, LedgerEntry]) -> None:
    """What a failed apply did write: the next one need not look at it again, and the observer takes it for ours."""
    entries = {**work.book.entries, **written}
    if entries != work.book.entries:
        work.lease.check()
        work.ledger = work.book.save_exact(work.on.client, entries, work.applying, work.fence, work.book.held)
    anew = {oid.inventory_id for oid in written}
    before = {key: seen for key, seen in (work.memo.get("fp") or {}).items() if key.rpartition("@")[0] not in anew}
    work.memo = {**work.memo, "fp": before | _fingerprints(written)}


def _fingerprints(entries: Mapping[ObjectId, LedgerEntry]) -> dict[str, str]:
    return {f"{oid.inventory_id}@{entry.version}": entry.fingerprint for oid, entry in entries.items()}


def close_ledger(work: KustomizationWork) -> Outcome | None:
    """The ledger becomes exact: what is there now, with its fingerprints and the artifact it came from."""
    entries = {**work.done.entries, **work.kept}
    if entries != work.book.entries or work.held != work.book.held:
        work.lease.check()
        work.ledger = work.book.save_exact(work.on.client, entries, work.applying, work.fence, work.held)
    work.ctx.ledgers.keep(work.cluster, work.book)
    lasting = {key: work.memo[key] for key in ("acyclic",) if key in work.memo}
    left = {key: value for key, value in work.memo.items() if key == "left_tries"}
    gone_when_done = fleeting(work.built.objects)
    work.memo = {
        "fp": _fingerprints(entries),
        "render": work.built.key,
        "full": time() if _is_full(work) else work.memo.get("full", time()),
        **lasting,
        **({"left": list(work.book.left), **left} if work.book.left else {}),
        **({"fleeting": gone_when_done, "noisy": gone_when_done} if gone_when_done else {}),
    }
    _tell_changes(work)
    return None


def _tell_changes(work: KustomizationWork) -> None:
    """What was applied and what was pruned are two events, as with Flux."""
    changes = [change for change in work.changes if change.action not in ("unchanged", "skipped")]
    for pruned in (False, True):
        lines = [f"{change.id} {change.action}" for change in changes if (change.action == "deleted") is pruned]
        if lines:
            work.event("Progressing", "\n".join(lines), metadata=work.metadata)


def _options(work: KustomizationWork) -> ApplyOptions:
    valid = work.annotations.get(APPLY_VALID, "").lower() == "enabled"
    return work.options(
        force=bool(work.spec.force),
        full=_is_full(work),
        ignore=work.ignore,
        valid=valid,
        digest_key=work.ctx.digest_key,
        secretive=work.built.secretive,
        vouched=vouched(work),
    )


def _is_full(work: KustomizationWork) -> bool:
    """Every so often all objects are compared by dry run: a net below the fingerprints."""
    last: float = work.memo.get("full", time())
    return time() - last > FULL_EVERY


PIPELINE = Pipeline(
    work=KustomizationWork,
    steps=(
        finalise,
        read_spec,
        find_source,
        resume_wait,
        skip_settled,
        await_dependencies,
        reach_cluster,
        open_ledger,
        fetch_artifact,
        gather_variables,
        gather_keys,
        build,
        apply,
        prune_stale,
        close_ledger,
        tell_brake,
        check_health,
    ),
    on_error=fail,
)
"""What a run of a Kustomization does."""
