"""The health wait of a Kustomization as a state: looked at, remembered, looked at again when something moves.

While objects are in progress the run ends `progressing` and comes back by the observer's poke or a backoff; only the
objects that were not ready yet are read again. Anything else that wakes the resource starts a whole run instead: one
for a new revision, generation or request ends the wait, one for drift goes on with it, its timeout included.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import Any

from fleetbeat.api.conditions import get_condition, is_ready
from fleetbeat.api.meta import REQUESTED_AT, format_duration
from fleetbeat.api.refs import ObjectId, split_api_version
from fleetbeat.errors import HealthCheckFailed, PruneFailed
from fleetbeat.kube.readiness import Health, State
from fleetbeat.reconcile import former
from fleetbeat.reconcile.failure import news
from fleetbeat.reconcile.health import (
    CURRENT_BY_EXISTING,
    TAKES_TIME,
    Wanted,
    describe,
    failed,
    next_look,
    unsettled,
)
from fleetbeat.reconcile.healthrules import Rules
from fleetbeat.reconcile.kustomization_work import (
    COMMIT_STATUS_KEY,
    REVISION_KEY,
    SUCCEEDED,
    KustomizationWork,
    fields,
    inventory,
)
from fleetbeat.reconcile.outcome import Outcome, Status, short_revision
from fleetbeat.state import Shares
from fleetbeat.state.reasons import is_health

CANCELED = "HealthCheckCanceled"
"""Reason of the event, as with Flux."""
HERE = Health(State.CURRENT)
"""Of an object that is ready by existing."""
UNTOLD, UNTOLD_LOOKS = 1.0, 2
"""Seconds of waiting, and looks, that are not worth a status of their own: most objects are healthy by then."""


def resume_wait(work: KustomizationWork) -> Outcome | None:
    """When this run only continues a health wait, look again and end; else go on to the whole pipeline."""
    wait = work.memo.get("health")
    if not wait:
        return None
    trigger = cancelled_by(work, wait)
    if trigger:
        work.cancelled = True
        message = f"Health checks canceled due to new reconciliation triggered by {trigger}"
        work.event(CANCELED, message, metadata={REVISION_KEY: wait["revision"]})
        return None
    if not is_health(work.why):
        work.waited = wait
        return None
    work.target = work.ctx.targets.reach(work.reach, work.account)
    return resume(work, wait, unsettled(work.target, awaited(wait), work.selector, work.rules))


def awaited(wait: Mapping[str, Any]) -> Wanted:
    """What a remembered wait is for."""
    return _decode(wait["waiting"])


def resume(work: KustomizationWork, wait: dict[str, Any], waiting: dict[ObjectId, Health]) -> Outcome:
    """The end of another look, which found `waiting` not current yet; raises HealthCheckFailed."""
    work.resumed = wait
    return _judge(work, _without_finished(work, waiting), wait, changed="")


def cancelled_by(work: KustomizationWork, wait: dict[str, Any]) -> str:
    """What makes it pointless to wait on: the ref of the source or of the resource itself; "" when nothing does."""
    if wait["revision"] != work.revision:
        return str(work.source)
    asked = work.requested and _token(work) != wait.get("token")
    return str(work.ref) if asked or wait["generation"] != work.generation else ""


def _token(work: KustomizationWork) -> str:
    """The last request, which the end of this wait will answer."""
    return work.annotations.get(REQUESTED_AT, "")


def _without_finished(work: KustomizationWork, waiting: dict[ObjectId, Health]) -> dict[ObjectId, Health]:
    """A Job with a TTL that is gone has done its work."""
    fleeting = work.memo.get("fleeting") or ()
    return {
        oid: health
        for oid, health in waiting.items()
        if health.state is not State.NOT_FOUND or oid.inventory_id not in fleeting
    }


def check_health(work: KustomizationWork) -> Outcome | None:
    """The last step: everything applied and, where the spec asks for it, healthy."""
    if work.pruning_failed:
        raise PruneFailed(work.pruning_failed)
    changed = _count(work)
    listed = _listed(work)
    if not listed:
        return succeed(work, changed, health=False)
    wanted = _but_itself(work, listed)
    known = _known(work, wanted)
    doubtful = {oid: version for oid, version in wanted.items() if oid not in known}
    work.memo["healthy"] = {oid.inventory_id: version for oid, version in wanted.items() if known.get(oid) is not HERE}
    waiting = unsettled(work.on, doubtful, work.selector, work.rules) | {
        oid: health for oid, health in known.items() if health is not HERE
    }
    return _judge(work, _without_finished(work, waiting), _begun(work, changed), changed)


def _begun(work: KustomizationWork, changed: str) -> dict[str, Any]:
    """What later looks need to know; a wait that was interrupted goes on, and is no longer for it."""
    before, moved = work.waited, work.old.get("lastAppliedRevision") != work.revision
    recovers = not _is_healthy(work.old)
    return {
        "generation": work.generation,
        "revision": work.revision,
        "token": _token(work),
        "digest": work.built.digest,
        "inventory": inventory(work),
        "since": before.get("since", time()),
        "began": before.get("began", time() - work.seconds),
        "looks": before.get("looks", 0),
        "changed": changed,
        "tell": before.get("tell", False) or (not before and recovers) or (moved and not changed.startswith("0/")),
    }


def _is_healthy(status: Status) -> bool:
    found = get_condition(status.get("conditions") or [], "Healthy")
    return found is not None and found["status"] == "True"


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


def _listed(work: KustomizationWork) -> Wanted:
    """What the spec asks for: with `wait`, everything applied; else the `healthChecks` list."""
    if work.spec.wait:
        skipped = {change.id for change in work.changes if change.action == "skipped"}
        return {oid: entry.version for oid, entry in work.done.entries.items() if oid not in skipped}
    listed = {}
    for check in work.spec.health_checks or ():
        group, version = split_api_version(check.api_version or "apps/v1")
        listed[ObjectId(group, check.kind, check.namespace or work.ref.namespace, check.name)] = version
    return listed


def _but_itself(work: KustomizationWork, listed: Wanted) -> Wanted:
    """A Kustomization that waited for itself would never be Ready."""
    itself = ObjectId("kustomize.toolkit.fluxcd.io", "Kustomization", work.ref.namespace, work.ref.name)
    return {oid: version for oid, version in listed.items() if oid != itself}


def _judge(work: KustomizationWork, waiting: dict[ObjectId, Health], wait: dict[str, Any], changed: str) -> Outcome:
    took = time() - wait["since"]
    broken = failed(waiting)
    if broken:
        raise HealthCheckFailed(_failure(took, "failed early due to stalled resources", broken))
    if not waiting:
        return succeed(work, changed or wait.get("changed", ""), health=True, took=took, tell=wait.get("tell", False))
    if took > work.timeout:
        raise HealthCheckFailed(_failure(took, "timeout waiting for", waiting))
    memo = work.memo | {"health": wait | {"looks": wait["looks"] + 1, "waiting": _encode(work, waiting)}}
    summary = f"waiting for {describe(waiting)}"
    shares = Shares.HEALTH if _only_ours(memo, work.rules) and not memo.get("left") else Shares.NONE
    if (took < UNTOLD or wait["looks"] < UNTOLD_LOOKS) and not work.cancelled:
        return Outcome(summary, memo=memo, next_in=next_look(wait["looks"]), shares=shares)
    message = f"Running health checks for revision {work.revision} with a timeout of {format_duration(work.timeout)}"
    status = work.attempt.progressing(message, **fields(work, None))
    work.attempt.condition(status, "Healthy", "Unknown", "Progressing", message)
    delay = min(next_look(wait["looks"]), max(work.timeout - took, 0.2))
    return Outcome(summary, status, memo, next_in=delay, shares=shares, stirred=news(work, status))


def _failure(took: float, what: str, found: dict[ObjectId, Health]) -> str:
    return f"health check failed after {took:.1f}s: {what}: [{describe(found)}]"


def succeed(work: KustomizationWork, changed: str, *, health: bool, took: float = 0.0, tell: bool = False) -> Outcome:
    """Ready. health: its objects were checked; tell: the event that they are healthy is news."""
    attempt = work.attempt
    status = attempt.ready(
        SUCCEEDED,
        f"Applied revision: {work.revision}",
        lastAppliedRevision=work.revision,
        lastAppliedOriginRevision=work.origin or None,
        **fields(work, SUCCEEDED),
    )
    if health:
        message = f"Health check passed in {took:.1f}s"
        if tell:
            work.event("Progressing", message, metadata=work.metadata)
        if tell or not _is_healthy(work.old):
            attempt.condition(status, "Healthy", "True", "Succeeded", message)
    else:
        status["conditions"] = [c for c in status["conditions"] if c["type"] != "Healthy"]
    _tell_success(work, changed)
    memo = {key: value for key, value in work.memo.items() if key != "health"}
    summary = f"Ready {short_revision(work.revision)} {changed}"
    announce = "is ready" if _moved_on(work) else ""
    shares = Shares.ALL if _only_ours(memo, work.rules) else Shares.NONE
    outcome = Outcome(summary, status, memo, shares=shares, announce=announce)
    return former.clean(work, outcome) if memo.get("left") else outcome


def _moved_on(work: KustomizationWork) -> bool:
    """Whether this success tells dependents something that the last status did not."""
    old = work.old
    before = (is_ready(old), old.get("lastAppliedRevision"), old.get("observedGeneration"))
    return before != (True, work.revision, work.generation)


def _only_ours(memo: dict[str, Any], rules: Rules) -> bool:
    """A sweep lists our own objects and judges by kstatus: health that is told otherwise takes a run."""
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
    versions = _listed(work) if work.result is not None else _decode(before)
    return {oid.inventory_id: versions[oid] for oid in waiting}


def _decode(waiting: dict[str, str]) -> dict[ObjectId, str]:
    return {ObjectId.from_inventory_id(key): version for key, version in waiting.items()}
