"""The clusters that a resource was moved away from, by a change of `spec.kubeConfig`: they are cleaned of its objects.

Where it was is told by its status (the newest history entry names the cluster, and survives Redis), by the registry
where a run was under way as it moved, and from the first run on the new cluster on by the ledger there. The new
cluster never waits for an old one: it is Ready first, and what cannot be cleaned is tried again with growing pauses.
What is deleted is what the old cluster's own ledger names, and never an object that the new cluster's ledger knows too:
both may be one cluster under two names.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from fleetbeat.api.conditions import remove_condition
from fleetbeat.errors import FleetbeatError, LostLease, PruneFailed, Rebuilding, StateUnavailable
from fleetbeat.kube.ledger import delete as delete_ledger
from fleetbeat.kube.ledger import load as load_ledger
from fleetbeat.kube.prune import prune
from fleetbeat.kube.reach import Reach
from fleetbeat.reconcile import backoff
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.state import Shares

if TYPE_CHECKING:
    from fleetbeat.reconcile.kustomization_work import KustomizationWork

CONDITION = "FormerClusterCleaned"
"""False while objects may be left on a cluster that the resource was moved away from; absent otherwise."""
FORGET = "fleetbeat.io/forget-cluster"
"""Annotation: places, separated by commas, that are given up with whatever is on them; the hub is called `hub`."""
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 1800.0
"""Seconds until another try; each time a whole run."""
KEY = "cluster"
"""Of the metadata of a history entry: where that build was applied; absent for the hub."""


def places(work: KustomizationWork) -> tuple[str, ...]:
    """Where the resource was before, as far as status and registry know; the ledger may know more."""
    found = [_reached(*entry).place for entry in work.memo.get("moved") or ()]
    history = work.old.get("history") or []
    if history:
        found.append(_noted(history[0]))
    here = work.reach.place
    return tuple(place for place in dict.fromkeys(found) if place != here)


def noted_place(work: KustomizationWork) -> dict[str, str]:
    """For the history's metadata: where this attempt applied, or where the last one did when it did not come so far.

    This cluster is named only when its ledger knows of all that were left, so that none is ever forgotten.
    """
    ledger = work.ledger
    here = ledger is not None and ledger.exists and set(work.moved) <= set(ledger.left)
    history = work.old.get("history") or []
    place = work.reach.place if here or work.resumed or not history else _noted(history[0])
    return {KEY: place} if place else {}


def clean(work: KustomizationWork, outcome: Outcome) -> Outcome:
    """After a success here: clean the clusters that were left, and say so where one cannot be cleaned now."""
    if work.ledger is None:
        work.ledger = load_ledger(work.on.client, work.ref, work.ctx.hub_id)
    status, memo = dict(outcome.status or {}), dict(outcome.memo or {})
    conditions = status["conditions"] = list(status.get("conditions") or [])
    left, problem = _clean_all(work, work.book.left)
    if left != work.book.left:
        work.lease.check()
        work.ledger = work.book.save_left(work.on.client, left, work.fence)
    if not left:
        remove_condition(conditions, CONDITION)
        memo = {key: value for key, value in memo.items() if key not in ("left", "left_tries")}
        return replace(outcome, status=status, memo=memo)
    tries = backoff.count({"failures": memo.get("left_tries", 0)}, "")
    work.attempt.condition(status, CONDITION, "False", "PruneFailed", problem)
    if not _told(work, problem):
        work.event("PruneFailed", problem, warning=True, metadata=work.metadata)
    pause = min(backoff.pause(tries, FIRST_PAUSE, LONGEST_PAUSE), work.interval)
    memo |= {"left": list(left), "left_tries": tries}
    return replace(outcome, status=status, memo=memo, next_in=pause, shares=Shares.NONE)


def clean_or_raise(work: KustomizationWork, left: tuple[str, ...]) -> None:
    """For a resource that is being deleted: raises PruneFailed while a former cluster cannot be cleaned."""
    remaining, problem = _clean_all(work, left)
    if remaining:
        raise PruneFailed(problem)


def _clean_all(work: KustomizationWork, left: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The places that remain, and what is the matter with them."""
    waiting, remaining, problems = list(dict.fromkeys(left)), [], []
    seen = {work.reach.place}
    while waiting:
        place = waiting.pop(0)
        if place in seen:
            continue
        seen.add(place)
        try:
            waiting += _clean_one(work, place)
        except (LostLease, Rebuilding, StateUnavailable):
            raise
        except FleetbeatError as error:
            remaining.append(place)
            problems.append(_problem(place, error))
    return tuple(remaining), "; ".join(problems)


def _problem(place: str, error: FleetbeatError) -> str:
    name = place or "hub"
    return (
        f"objects on the former cluster {name} cannot be deleted: {error.message}; it is tried again "
        f"(the annotation {FORGET}: {name} gives them up)"
    )


def _clean_one(work: KustomizationWork, place: str) -> tuple[str, ...]:
    """Delete what the ledger there names; returns the places that this ledger itself still had to clean."""
    if (place or "hub") in _forgotten(work):
        work.event("PruneFailed", f"objects on the former cluster {place or 'hub'} were given up", warning=True)
        return ()
    target = work.ctx.targets.reach(Reach.at(work.ref.namespace, place), work.account)
    ledger = load_ledger(target.client, work.ref, work.ctx.hub_id)
    here = work.ledger
    if not ledger.exists or (here is not None and ledger.uid == here.uid):
        return ()
    if not work.spec.prune:
        work.event("Progressing", f"spec.prune is false: objects on the former cluster {place or 'hub'} left in place")
        return ledger.left
    work.lease.confirm()
    staying = {entry.uid for entry in here.entries.values() if entry.uid} if here is not None else set()
    options = replace(work.options(), uid=work.uid if place else "")
    outcome = prune(target, ledger.entries, options, staying)
    work.tell_spared(outcome.spared)
    deleted = [str(change.id) for change in outcome.changes if change.action == "deleted"]
    if deleted:
        lines = "\n".join(f"{one} deleted on the former cluster {place or 'hub'}" for one in deleted)
        work.event("Progressing", lines, metadata=work.metadata)
    if outcome.errors:
        raise PruneFailed("; ".join(outcome.errors[:5]))
    delete_ledger(target.client, ledger)
    return ledger.left


def _forgotten(work: KustomizationWork) -> set[str]:
    return {place.strip() for place in work.annotations.get(FORGET, "").split(",")}


def _noted(entry: dict[str, Any]) -> str:
    return str((entry.get("metadata") or {}).get(KEY, ""))


def _reached(cluster: str, record: str) -> Reach:
    try:
        return Reach.decode(cluster, record.encode() if record else None)
    except msgspec.MsgspecError:
        return Reach(cluster)


def _told(work: KustomizationWork, problem: str) -> bool:
    """Whether the last status said the same."""
    before = (c for c in work.old.get("conditions") or [] if c["type"] == CONDITION)
    return any(c["message"] == problem for c in before)
