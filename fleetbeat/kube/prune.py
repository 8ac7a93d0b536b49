"""Deleting what is no longer wanted: the most careful part.

An object is deleted only when a fresh look shows that it still carries this owner's labels and this hub's id, is not
marked to stay and is none of the objects that stay; and only in exactly that version of it (uid and resourceVersion
preconditions). Whatever cannot be told for sure stays, and stays in the inventory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fleetbeat.api.refs import ObjectId
from fleetbeat.kube import marks, order, pool
from fleetbeat.kube.errors import Conflict, KubeError, NoMatch, NotFound, Unauthorized, Unreachable
from fleetbeat.kube.ledger import LedgerEntry
from fleetbeat.kube.metadata import Live, find_resource, get_metadata, list_metadata
from fleetbeat.kube.options import ApplyOptions
from fleetbeat.kube.target import Target

_TRIES = 4


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one object."""

    id: ObjectId
    version: str
    """API version without its group."""
    action: str
    """created, configured, unchanged, skipped or deleted."""
    drift: tuple[str, ...] = ()
    """What somebody else had done to it, as `field changed by manager`; empty when our own intent changed."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """`changes`: what was deleted or is marked to stay. `remaining`: what could not be deleted; `errors` says why."""

    changes: tuple[Change, ...]
    remaining: dict[ObjectId, LedgerEntry]
    errors: tuple[str, ...]


def doomed(
    target: Target, stale: Mapping[ObjectId, LedgerEntry], options: ApplyOptions, kept: Collection[str] = ()
) -> dict[ObjectId, str]:
    """Those of `stale` that `prune` would delete now, with their uids; what cannot be told counts as one of them.

    Raises when the cluster cannot be reached.
    """
    kinds: dict[tuple[str, str, str], list[ObjectId]] = defaultdict(list)
    for oid, entry in stale.items():
        kinds[oid.group, entry.version, oid.kind].append(oid)
    found: dict[ObjectId, str] = {}
    for ids in kinds.values():
        for oid, live in _look(target, ids, stale, options).items():
            if live is None:
                found[oid] = stale[oid].uid
            elif live.uid not in kept and _stays(live, options) is None:
                found[oid] = live.uid
    return found


def _look(
    target: Target, ids: Sequence[ObjectId], stale: Mapping[ObjectId, LedgerEntry], options: ApplyOptions
) -> dict[ObjectId, Live | None]:
    """The objects of one kind that are there; None for those that cannot be read."""
    try:
        resource = find_resource(target, ids[0], stale[ids[0]].version)
        selector = f"{marks.NAME}={options.owner.name},{marks.NAMESPACE}={options.owner.namespace}"
        listed = list_metadata(target, resource, selector)
    except NoMatch:
        return {} if target.discovery.certain(ids[0].group) else dict.fromkeys(ids)
    except (Unreachable, Unauthorized):
        raise
    except KubeError:
        return dict.fromkeys(ids)
    return {oid: listed[oid] for oid in ids if oid in listed}


@dataclass(frozen=True, slots=True)
class _Outcome:
    action: str = ""
    error: str = ""


def prune(
    target: Target, stale: Mapping[ObjectId, LedgerEntry], options: ApplyOptions, kept: Collection[str] = ()
) -> Pruned:
    """Delete `stale` objects in reverse order of apply, in the background.

    kept: uids of objects that stay; an object that is served under two groups has two ids and one uid.
    Errors of single objects are collected; raises when the cluster cannot be reached, and what the guard raises.
    """
    outcomes: dict[ObjectId, _Outcome] = {}
    for stage in reversed(order.grouped(stale, lambda oid: oid, order.stage)):
        for wave in reversed(order.grouped(stage, lambda oid: oid, order.wave)):
            ids = list(reversed(wave))
            found = pool.run_all(lambda oid: _prune_one(target, oid, stale[oid], options, kept), ids)
            outcomes.update(zip(ids, found, strict=True))
    changes = tuple(Change(oid, stale[oid].version, out.action) for oid, out in outcomes.items() if out.action)
    remaining = {oid: stale[oid] for oid, outcome in outcomes.items() if outcome.error}
    return Pruned(changes, remaining, tuple(outcome.error for outcome in outcomes.values() if outcome.error))


def _prune_one(
    target: Target, oid: ObjectId, entry: LedgerEntry, options: ApplyOptions, kept: Collection[str]
) -> _Outcome:
    try:
        resource = find_resource(target, oid, entry.version)
    except NoMatch as error:
        # With its kind gone, the object is gone; unless the server behind the kind did not answer.
        return _Outcome() if target.discovery.certain(oid.group) else _Outcome(error=f"{oid}: {error.message}")
    if resource.namespaced != bool(oid.namespace):
        return _Outcome()  # there is no such object; the path would lead to another one
    path = resource.path(oid.namespace, oid.name)
    for _ in range(_TRIES):
        try:
            live = get_metadata(target.client, resource, oid.namespace, oid.name)
            if live is None or live.uid in kept:
                return _Outcome()
            refusal = _stays(live, options)
            if refusal is not None:
                return refusal
            options.guard()
            target.writer.delete(path, uid=live.uid, resource_version=live.rv)
            return _Outcome("deleted")
        except Conflict:
            continue  # it changed between look and delete: look again
        except NotFound:
            return _Outcome()
        except (Unreachable, Unauthorized):
            raise
        except KubeError as error:
            return _Outcome(error=f"{oid} delete failed: {error.message}")
    return _Outcome(error=f"{oid} delete failed: it changes faster than it can be looked at")


def _stays(live: Live, options: ApplyOptions) -> _Outcome | None:
    """Why this object is not deleted, None when it is."""
    marked = {"labels": live.labels, "annotations": live.annotations}
    if not marks.is_owned(live.labels, options.owner, options.hub_id):
        return _Outcome()
    if marks.kept(marked) or marks.ignored(marked):
        return _Outcome("skipped")
    return _Outcome() if live.deleting else None
