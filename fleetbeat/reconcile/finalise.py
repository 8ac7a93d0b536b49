"""The end of a Kustomization: its objects go, stay, or are waited for, then the finalizer is removed.

Deletes only what the ledgers name (of this cluster and of those that it was moved away from) and what still carries our
labels and is nobody else's. A suspended Kustomization leaves everything. A cluster that does not answer keeps the
resource in Terminating: it is tried again, nothing is forgotten. Waiting for objects to terminate is a due time, never
a worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import Any

from fleetbeat.api.conditions import get_condition
from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import format_duration
from fleetbeat.api.refs import ObjectId
from fleetbeat.errors import PruneFailed, ReconciliationFailed
from fleetbeat.kube.apply import prune
from fleetbeat.kube.errors import KubeError, NotFound
from fleetbeat.kube.ledger import delete as delete_ledger
from fleetbeat.kube.ledger import load as load_ledger
from fleetbeat.kube.metadata import still_there
from fleetbeat.reconcile import former
from fleetbeat.reconcile.kustomization_work import ORIGIN_KEY, REVISION_KEY, KustomizationWork
from fleetbeat.reconcile.outcome import Outcome

LOOK_AGAIN, LONGEST_LOOK = 2.0, 15.0
"""Seconds between looks at objects that are terminating: the first and the longest pause."""
NAMED = 5
"""Objects that a message names."""


def finalise(work: KustomizationWork) -> Outcome | None:
    """The first step: goes on unless the resource is being deleted."""
    if not work.deleting:
        return None
    work.decoded = decode_spec(KINDS["Kustomization"], work.obj)
    if work.spec.suspend or _policy(work) == "Orphan":
        return _gone("objects left in place")
    work.moved = former.places(work)
    if not _reach(work):
        return _gone("nothing was ever applied")
    if not _account_exists(work):
        work.event("PruneFailed", f"service account {work.account} not found: objects left in place", warning=True)
        return _gone("objects left in place")
    work.ledger = load_ledger(work.on.client, work.ref, work.ctx.hub_id)
    return _delete(work)


def _policy(work: KustomizationWork) -> str:
    policy = work.spec.deletion_policy or "MirrorPrune"
    if policy == "MirrorPrune":
        return "Delete" if work.spec.prune else "Orphan"
    return policy


def _reach(work: KustomizationWork) -> bool:
    """The clients of the target cluster; False when they cannot be had and no run ever came so far as to need them."""
    try:
        work.target = work.ctx.targets.reach(work.reach, work.account)
    except ReconciliationFailed as error:
        if not _inventory(work) and not work.old.get("history") and not work.moved:
            return False
        raise ReconciliationFailed(
            f"{error.message}: its objects cannot be deleted; spec.deletionPolicy: Orphan lets it go without them"
        ) from error
    return True


def _account_exists(work: KustomizationWork) -> bool:
    if not work.account:
        return True
    namespace, _, name = work.account.partition(":")
    try:
        work.on.client.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
    except NotFound:
        return False
    return True


def _inventory(work: KustomizationWork) -> list[dict[str, str]]:
    return (work.old.get("inventory") or {}).get("entries") or []


def _delete(work: KustomizationWork) -> Outcome:
    waiting = work.memo.get("terminating")
    deleted = 0
    if not work.book.exists and not work.moved:
        _tell_missing(work)
    elif not waiting:
        work.lease.confirm()
        deleted = _prune_all(work)
    if _policy(work) == "WaitForTermination":
        outcome = _wait(work, waiting or {"since": time(), "looks": 0})
        if outcome is not None:
            return outcome
    former.clean_or_raise(work, (*work.book.left, *work.moved))
    delete_ledger(work.on.client, work.book)
    return _gone(f"{deleted} deleted" if deleted else "nothing left to delete")


def _tell_missing(work: KustomizationWork) -> None:
    entries = _inventory(work)
    if entries:
        message = f"the ledger is missing on the cluster: {len(entries)} objects left in place, delete them by hand"
        work.event("PruneFailed", message, warning=True)


def _prune_all(work: KustomizationWork) -> int:
    """Ask for the deletion of everything in the ledger; how many deletions that were."""
    outcome = prune(work.on, work.book.entries, work.options())
    work.tell_spared(outcome.spared)
    lines = [f"{change.id} {change.action}" for change in outcome.changes if change.action == "deleted"]
    if lines:
        _tell_deleted(work, "\n".join(lines))
    if outcome.errors:
        raise PruneFailed("; ".join(outcome.errors))
    return len(lines)


def _tell_deleted(work: KustomizationWork, lines: str) -> None:
    """With the reason of the last Ready condition and the revision that was applied last, as with Flux."""
    ready = get_condition(work.old.get("conditions") or [], "Ready")
    last = {REVISION_KEY: "lastAppliedRevision", ORIGIN_KEY: "lastAppliedOriginRevision"}
    metadata = {key: work.old[field] for key, field in last.items() if work.old.get(field)}
    work.event(ready["reason"] if ready else "info", lines, metadata=metadata)


def _wait(work: KustomizationWork, waiting: Mapping[str, Any]) -> Outcome | None:
    """Ends the run while objects are terminating, until the timeout; later looks are at those alone."""
    ids = waiting.get("ids")
    entries = {oid: e for oid, e in work.book.entries.items() if ids is None or oid.inventory_id in ids}
    left = still_there(work.on, entries)
    if not left:
        return None
    told, waited = _told(work, left), time() - waiting["since"]
    if waited > work.timeout:
        limit = format_duration(work.timeout)
        work.event("PruneFailed", f"not gone after {limit}, no longer waited for: {told}", warning=True)
        return None
    message = f"waiting for {len(left)} objects to terminate: {told}"
    looks = waiting["looks"] + 1
    remembered = {"since": waiting["since"], "looks": looks, "ids": [oid.inventory_id for oid in left]}
    pause = min(LOOK_AGAIN * 1.3 ** (looks - 1), LONGEST_LOOK, max(work.timeout - waited, 0.2) + 0.1)
    status = work.attempt.progressing(message)
    return Outcome(message, status, work.memo | {"terminating": remembered}, next_in=pause)


def _told(work: KustomizationWork, left: Mapping[ObjectId, tuple[str, ...]]) -> str:
    named = [f"{oid}{_why(work, oid, finalizers)}" for oid, finalizers in list(left.items())[:NAMED]]
    return ", ".join(named) + (f" and {len(left) - NAMED} more" if len(left) > NAMED else "")


def _why(work: KustomizationWork, oid: ObjectId, finalizers: tuple[str, ...]) -> str:
    """What holds an object back; of a namespace, what its controller says."""
    if finalizers:
        return f" (finalizers: {', '.join(finalizers)})"
    if (oid.group, oid.kind) != ("", "Namespace"):
        return ""
    try:
        live = work.on.writer.get(f"/api/v1/namespaces/{oid.name}")
    except KubeError:
        return ""
    found = [c for c in (live.get("status") or {}).get("conditions") or [] if c.get("status") == "True"]
    return f" ({'; '.join(str(c.get('message')) for c in found)})" if found else ""


def _gone(what: str) -> Outcome:
    return Outcome(summary=f"Finalized: {what}", finalized=True)
