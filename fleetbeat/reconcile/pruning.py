"""What a run deletes because its source no longer has it, and the brake before it.

The brake stops deletions, never the apply: what the source has now is applied, what it lost stays where it is and in
the inventory, and the resource is not Ready until a person confirms that list or the source has the objects again.
Its arithmetic is in kube/brake.py, single deletions are in kube/prune.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fleetbeat.api.refs import ObjectId
from fleetbeat.errors import PruneBraked
from fleetbeat.kube import brake
from fleetbeat.kube.ledger import Held, LedgerEntry
from fleetbeat.kube.prune import doomed, prune
from fleetbeat.reconcile.kustomization_work import KustomizationWork
from fleetbeat.reconcile.outcome import Outcome


def adopted(work: KustomizationWork) -> dict[ObjectId, LedgerEntry]:
    """Without a ledger, what the CR's inventory names is taken in; it is pruned by a later run at the earliest."""
    if work.known_before:
        return {}
    entries = (work.old.get("inventory") or {}).get("entries") or []
    return {ObjectId.from_inventory_id(entry["id"]): LedgerEntry(version=entry["v"]) for entry in entries}


def prune_stale(work: KustomizationWork) -> Outcome | None:
    """Delete what earlier runs applied and this one does not want, where `spec.prune` says so and the brake lets it."""
    wanted = work.done.entries.keys()
    stale = {oid: entry for oid, entry in work.book.entries.items() if oid not in wanted}
    if not work.known_before:
        _take_in(work, stale)
        return None
    if not stale or not work.spec.prune:
        return None
    work.held = _pull_brake(work, stale)
    if work.held is not None:
        work.kept = stale
        return None
    work.lease.confirm()
    outcome = prune(work.on, stale, work.options(), _staying(work))
    work.changes += outcome.changes
    work.tell_spared(outcome.spared)
    work.kept = outcome.remaining
    work.held = _left_over(work.book.held, outcome.remaining)
    if outcome.errors:
        work.pruning_failed = "; ".join(outcome.errors)
    return None


def tell_brake(work: KustomizationWork) -> Outcome | None:
    """Ends the run where the brake holds, after the ledger says so."""
    held = work.held
    if held is not None and held.ids and not held.confirmed:
        raise PruneBraked(brake.told(held, f"fleetbeat confirm kustomization {work.ref.name} -n {work.ref.namespace}"))
    return None


def _take_in(work: KustomizationWork, stale: Mapping[ObjectId, LedgerEntry]) -> None:
    """What was adopted stays for now, and the next run's limits go by how much that was."""
    known = adopted(work)
    work.kept = {oid: entry for oid, entry in stale.items() if oid in known}
    if work.kept:
        work.held = Held(len(known), "", ())


def _pull_brake(work: KustomizationWork, stale: Mapping[ObjectId, LedgerEntry]) -> Held | None:
    """What has to be confirmed first; None when the deletions may go on. Costs nothing while they are few."""
    held, limits = work.book.held, work.prune_limits
    of = brake.inventory_size(work.book.entries.values(), held)
    if not brake.may_pull(len(stale), of, limits):
        return None
    going = doomed(work.on, stale, work.options(), _staying(work))
    found = brake.pull(going, stale, of, limits, held)
    if found is None or found.code != work.annotations.get(brake.CONFIRM, "").strip():
        return found
    allowed = replace(found, ids=tuple(sorted(oid.inventory_id for oid in going)), confirmed=True)
    work.lease.check()
    work.ledger = work.book.save_held(work.on.client, allowed, work.fence)
    return None


def _left_over(held: Held | None, remaining: Mapping[ObjectId, LedgerEntry]) -> Held | None:
    """What was confirmed and could not be deleted needs no second confirmation."""
    if held is None or not held.confirmed:
        return None
    ids = {oid.inventory_id for oid in remaining}
    rest = tuple(one for one in held.ids if one in ids)
    return replace(held, ids=rest) if rest else None


def _staying(work: KustomizationWork) -> set[str]:
    return {entry.uid for entry in work.done.entries.values() if entry.uid}
