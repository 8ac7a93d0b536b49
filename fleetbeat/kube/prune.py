"""Deleting what is no longer wanted: the most careful part.

An object is deleted only when a fresh look shows that it is the very one that the ledger names, still carries this
owner's labels, is not marked to stay, is none of the objects that stay, and nobody else says that it is theirs; and
only in exactly that version of it (uid and resourceVersion preconditions). Whatever cannot be told for sure stays, and
stays in the inventory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fleetbeat.api.refs import ObjectId
from fleetbeat.kube import marks, order, pool
from fleetbeat.kube.claims import Claims, others
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
    spared: tuple[str, ...] = ()
    """What was not deleted because it is somebody else's now, and why; it left the inventory."""


def doomed(
    target: Target, stale: Mapping[ObjectId, LedgerEntry], options: ApplyOptions, kept: Collection[str] = ()
) -> dict[ObjectId, str]:
    """Those of `stale` that `prune` would delete now, with their uids; what cannot be told counts as one of them.

    Raises when the cluster cannot be reached.
    """
    claims = others(target, options)
    kinds: dict[tuple[str, str, str], list[ObjectId]] = defaultdict(list)
    for oid, entry in stale.items():
        kinds[oid.group, entry.version, oid.kind].append(oid)
    found: dict[ObjectId, str] = {}
    for ids in kinds.values():
        for oid, live in _look(target, ids, stale, options).items():
            if live is None:
                found[oid] = stale[oid].uid
            elif live.uid not in kept and _stays(oid, stale[oid], live, options, claims) is None:
                found[oid] = live.uid
    return found


def _look(
    target: Target, ids: Sequence[ObjectId], stale: Mapping[ObjectId, LedgerEntry], options: ApplyOptions
) -> dict[ObjectId, Live | None]:
    """The objects of one kind that are there; None for those that cannot be read."""
    try:
        resource = find_resource(target, ids[0], stale[ids[0]].version)
        listed = list_metadata(target, resource, marks.selector(options.owner))
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
    spared: str = ""


def prune(
    target: Target, stale: Mapping[ObjectId, LedgerEntry], options: ApplyOptions, kept: Collection[str] = ()
) -> Pruned:
    """Delete `stale` objects in reverse order of apply, in the background.

    kept: uids of objects that stay; an object that is served under two groups has two ids and one uid.
    Errors of single objects are collected; raises when the cluster cannot be reached, and what the guard raises.
    """
    if not stale:
        return Pruned((), {}, ())
    claims = others(target, options)
    outcomes: dict[ObjectId, _Outcome] = {}
    for stage in reversed(order.grouped(stale, lambda oid: oid, partial(order.stage, early=options.early))):
        for wave in reversed(order.grouped(stage, lambda oid: oid, order.wave)):
            ids = list(reversed(wave))
            found = pool.run_all(lambda oid: _prune_one(target, oid, stale[oid], options, kept, claims), ids)
            outcomes.update(zip(ids, found, strict=True))
    changes = tuple(Change(oid, stale[oid].version, out.action) for oid, out in outcomes.items() if out.action)
    remaining = {oid: stale[oid] for oid, outcome in outcomes.items() if outcome.error}
    errors = tuple(outcome.error for outcome in outcomes.values() if outcome.error)
    return Pruned(changes, remaining, errors, tuple(outcome.spared for outcome in outcomes.values() if outcome.spared))


def _prune_one(
    target: Target,
    oid: ObjectId,
    entry: LedgerEntry,
    options: ApplyOptions,
    kept: Collection[str],
    claims: Claims,
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
            refusal = _stays(oid, entry, live, options, claims)
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


def _stays(oid: ObjectId, entry: LedgerEntry, live: Live, options: ApplyOptions, claims: Claims) -> _Outcome | None:
    """Why this object is not deleted, None when it is."""
    marked = {"labels": live.labels, "annotations": live.annotations}
    if not marks.is_owned(live.labels, options.owner, options.hub_id):
        return _Outcome()
    if marks.kept(marked) or marks.ignored(marked):
        return _Outcome("skipped")
    if live.deleting:
        return _Outcome()
    if oid in claims:
        return _Outcome(spared=f"{oid} not deleted: it is applied by {claims[oid]}")
    if entry.uid and entry.uid != live.uid:
        return _Outcome(spared=f"{oid} not deleted: somebody made it anew since it was applied")
    return None
