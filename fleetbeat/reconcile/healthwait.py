"""The health wait of a Kustomization as a state: looked at, remembered, looked at again when something moves.

While objects are in progress the run ends `progressing` and comes back by the observer's poke or a backoff; only the
objects that were not ready yet are read again. A new revision, generation or drift starts a whole run instead.
"""

from __future__ import annotations

from time import time
from typing import Any

from fleetbeat.api.conditions import get_condition, is_ready
from fleetbeat.api.meta import format_duration
from fleetbeat.api.refs import ObjectId, split_api_version
from fleetbeat.errors import HealthCheckFailed, PruneFailed
from fleetbeat.kube.readiness import Health, State
from fleetbeat.reconcile import former
from fleetbeat.reconcile.health import (
    CURRENT_BY_EXISTING,
    FIRST_LOOK,
    TAKES_TIME,
    Wanted,
    describe,
    failed,
    next_look,
    unsettled,
)
from fleetbeat.reconcile.healthrules import Rules
from fleetbeat.reconcile.kustomization_work import COMMIT_STATUS_KEY, SUCCEEDED, KustomizationWork, fields, inventory
from fleetbeat.reconcile.outcome import Outcome, short_revision

HERE = Health(State.CURRENT)
"""Of an object that is ready by existing."""


def resume_wait(work: KustomizationWork) -> Outcome | None:
    """When this run only continues a health wait, look again and end; else go on to the whole pipeline."""
    wait = work.memo.get("health")
    if not wait or wait["generation"] != work.generation or wait["revision"] != work.revision or work.requested:
        return None
    if any(not reason.startswith("health") for reason in work.why.split(", ") if reason):
        return None
    work.resumed = wait
    work.target = work.ctx.targets.reach(work.reach, work.account)
    waiting = unsettled(work.target, _decode(wait["waiting"]), work.selector, work.rules)
    return _judge(work, waiting, wait, changed="")


def check_health(work: KustomizationWork) -> Outcome | None:
    """The last step: everything applied and, where the spec asks for it, healthy."""
    if work.pruning_failed:
        raise PruneFailed(work.pruning_failed)
    changed = _count(work)
    wanted = wanted_objects(work)
    if not wanted:
        return succeed(work, changed, health=False)
    known = _known(work, wanted)
    doubtful = {oid: version for oid, version in wanted.items() if oid not in known}
    work.memo["healthy"] = {oid.inventory_id: version for oid, version in wanted.items() if known.get(oid) is not HERE}
    waiting = unsettled(work.on, doubtful, work.selector, work.rules) | {
        oid: health for oid, health in known.items() if health is not HERE
    }
    begun = {
        "generation": work.generation,
        "revision": work.revision,
        "digest": work.built.digest,
        "inventory": inventory(work),
        "since": time(),
        "began": time() - work.seconds,
        "looks": 0,
        "changed": changed,
    }
    return _judge(work, waiting, begun, changed)


def _known(work: KustomizationWork, wanted: Wanted) -> dict[ObjectId, Health]:
    """The health of what need not be read: it was just applied, and its kind says the rest."""
    written = {change.id for change in work.changes if change.action in ("created", "configured")}
    found: dict[ObjectId, Health] = {}
    for oid in wanted:
        if oid in work.done.terminating:
            found[oid] = Health(State.TERMINATING, "being deleted")
        elif (oid.group, oid.kind) in work.rules:
            continue
        elif oid in work.done.entries and (oid.group, oid.kind) in CURRENT_BY_EXISTING:
            found[oid] = HERE
        elif oid in written and (oid.group, oid.kind) in TAKES_TIME:
            found[oid] = Health(State.IN_PROGRESS, "just applied")
    return found


def wanted_objects(work: KustomizationWork) -> Wanted:
    """With `wait`, everything applied; else the `healthChecks` list. Never the Kustomization itself."""
    if work.spec.wait:
        skipped = {change.id for change in work.changes if change.action == "skipped"}
        wanted = {oid: entry.version for oid, entry in work.done.entries.items() if oid not in skipped}
    else:
        wanted = {}
        for check in work.spec.health_checks or ():
            group, version = split_api_version(check.api_version or "apps/v1")
            wanted[ObjectId(group, check.kind, check.namespace or work.ref.namespace, check.name)] = version
    itself = ObjectId("kustomize.toolkit.fluxcd.io", "Kustomization", work.ref.namespace, work.ref.name)
    return {oid: version for oid, version in wanted.items() if oid != itself}


def _judge(work: KustomizationWork, waiting: dict[ObjectId, Health], wait: dict[str, Any], changed: str) -> Outcome:
    took = time() - wait["since"]
    broken = failed(waiting)
    if broken:
        raise HealthCheckFailed(f"health check failed after {took:.1f}s: {describe(broken)}")
    if not waiting:
        return succeed(work, changed or wait.get("changed", ""), health=True, took=took)
    if took > work.timeout:
        raise HealthCheckFailed(f"health check failed after {took:.1f}s: timeout waiting for: {describe(waiting)}")
    memo = work.memo | {"health": wait | {"looks": wait["looks"] + 1, "waiting": _encode(work, waiting)}}
    summary = f"waiting for {describe(waiting)}"
    if wait["looks"] == 0:  # most objects are healthy in a moment: not worth a status of its own
        return Outcome(summary, memo=memo, next_in=FIRST_LOOK)
    message = f"Running health checks for revision {work.revision} with a timeout of {format_duration(work.timeout)}"
    status = work.attempt.progressing(message, **fields(work, None))
    work.attempt.condition(status, "Healthy", "Unknown", "Progressing", message)
    delay = min(next_look(wait["looks"]), max(work.timeout - took, 0.2))
    return Outcome(summary, status, memo, next_in=delay)


def succeed(work: KustomizationWork, changed: str, *, health: bool, took: float = 0.0) -> Outcome:
    """Ready."""
    attempt = work.attempt
    status = attempt.ready(
        SUCCEEDED,
        f"Applied revision: {work.revision}",
        lastAppliedRevision=work.revision,
        lastAppliedOriginRevision=(work.got.get("metadata") or {}).get("org.opencontainers.image.revision"),
        **fields(work, SUCCEEDED),
    )
    if health:
        was = get_condition(work.old.get("conditions") or [], "Healthy")
        message = f"Health check passed in {took:.1f}s"
        if was is None or was["status"] != "True":
            work.event("Progressing", message, metadata=work.metadata)
            attempt.condition(status, "Healthy", "True", "Succeeded", message)
    else:
        status["conditions"] = [c for c in status["conditions"] if c["type"] != "Healthy"]
    _tell_success(work, changed)
    memo = {key: value for key, value in work.memo.items() if key != "health"}
    summary = f"Ready {short_revision(work.revision)} {changed}"
    outcome = Outcome(summary, status, memo, sweepable=_sweepable(memo, work.rules), announce=_moved_on(work))
    return former.clean(work, outcome) if memo.get("left") else outcome


def _moved_on(work: KustomizationWork) -> bool:
    """Whether this success tells dependents something that the last status did not."""
    old = work.old
    before = (is_ready(old), old.get("lastAppliedRevision"), old.get("observedGeneration"))
    return before != (True, work.revision, work.generation)


def _sweepable(memo: dict[str, Any], rules: Rules) -> bool:
    """The sweep lists our own objects and judges by kstatus: health that is told otherwise takes a run."""
    ours = {key.rpartition("@")[0] for key in memo.get("fp") or {}}
    checked = memo.get("healthy") or {}
    special = ((oid.group, oid.kind) in rules for oid in _decode(checked))
    return checked.keys() <= ours and not any(special)


def _tell_success(work: KustomizationWork, changed: str) -> None:
    if changed.startswith("0/") and not work.requested and not _moved_on(work):
        return
    finished = f"Reconciliation finished in {work.took:.3f}s, next run in {format_duration(work.interval)}"
    work.event(SUCCEEDED, finished, metadata=work.metadata | {COMMIT_STATUS_KEY: "update"})


def _count(work: KustomizationWork) -> str:
    changed = sum(change.action not in ("unchanged", "skipped") for change in work.changes)
    return f"{changed}/{len(work.done.entries)} changed"


def _encode(work: KustomizationWork, waiting: dict[ObjectId, Health]) -> dict[str, str]:
    before = (work.memo.get("health") or {}).get("waiting") or {}
    versions = wanted_objects(work) if work.result is not None else _decode(before)
    return {oid.inventory_id: versions[oid] for oid in waiting}


def _decode(waiting: dict[str, str]) -> dict[ObjectId, str]:
    return {ObjectId.from_inventory_id(key): version for key, version in waiting.items()}
