"""One look at everything of a cluster that is due by its interval, was requested, or has a new artifact: equal
fingerprints mean that our intent stands.

Costs one LIST per kind for all owners together, or a GET per object where few were requested, and writes nothing to
the cluster. A ref whose objects differ, are missing or are no longer healthy is poked and gets a run of its own. Reads
under Fleetbeat's own account. What else must hold before a ref is answered without a run is `answer.py`'s to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import time
from typing import Any

import msgspec

from fleetbeat.api.refs import ObjectId
from fleetbeat.errors import FleetbeatError
from fleetbeat.kube import marks, pool
from fleetbeat.kube.discovery import Resource
from fleetbeat.kube.errors import NoMatch
from fleetbeat.kube.metadata import Live, get_metadata, list_metadata
from fleetbeat.kube.reach import Reach
from fleetbeat.kube.target import Target
from fleetbeat.reconcile.answer import Moved, Requests
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.health import describe, unsettled
from fleetbeat.reconcile.kustomization import FULL_EVERY
from fleetbeat.state.reasons import REQUESTED

FEW = 8
"""Up to this many requested objects of one kind, a GET each is cheaper than a LIST of all that the hub has of it."""

Memos = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Swept:
    """What a sweep found, for Flower."""

    cluster: str
    unchanged: int
    poked: tuple[str, ...]
    seconds: float = 0.0
    why: str = ""

    def __repr__(self) -> str:
        done = "answered" if self.why else "unchanged"
        poked = f", {len(self.poked)} poked: {', '.join(self.poked[:3])}" if self.poked else ""
        return f"{self.cluster}: {self.unchanged} {done}{poked} in {self.seconds:.2f}s"


def sweep(ctx: Context, shard: str, cluster: str, fence: int, refs: list[str], why: str = "") -> Swept:
    """Check `refs` of one cluster together and settle them; what differs is poked.

    why: empty when their intervals made them due; else they were requested, or their source has a new artifact, and
    what a run would leave as it is gets that run's status and event. A cluster that cannot be reached pokes all of
    them, so that each one's status says why.
    """
    begun = time()
    memos = {ref: msgspec.json.decode(memo) for ref, memo in ctx.state.memos(shard, refs).items() if memo}
    poked = {ref: "nothing known since the registry was rebuilt" for ref in refs if "fp" not in memos.get(ref, {})}
    poked |= {
        r: "full check" for r, memo in memos.items() if r not in poked and begun - memo.get("full", 0) > FULL_EVERY
    }
    answering = None
    if why:
        answering = (Requests if why == REQUESTED else Moved)(ctx, shard, cluster, fence, why, _without(memos, poked))
        poked |= answering.refused()
        _poke(ctx, shard, fence, why, poked)  # at once: whatever changed goes first
    known = _without(memos, poked)
    late: dict[str, str] = {}
    try:
        late |= _compare(ctx, cluster, known, FEW if why == REQUESTED else 0)
    except FleetbeatError as error:
        late |= dict.fromkeys(known, f"sweep failed: {error.message[:200]}")
    unchanged = [ref for ref in known if ref not in late]
    if answering is None:
        ctx.state.settle(shard, fence, unchanged, poked | late)
    else:
        answers = answering.answers(unchanged)
        late |= dict.fromkeys(known.keys() - answers.keys() - late.keys(), "a dependency is not ready")
        ctx.state.answer(shard, fence, answers)
        _poke(ctx, shard, fence, why, late)
        unchanged = list(answers)
    return Swept(cluster, len(unchanged), (*poked, *late), time() - begun, why)


def _poke(ctx: Context, shard: str, fence: int, why: str, poked: Mapping[str, str]) -> None:
    ctx.state.settle(shard, fence, (), {ref: f"{why}: {reason}" for ref, reason in poked.items()})


def _without(memos: Memos, poked: Mapping[str, str]) -> Memos:
    return {ref: memo for ref, memo in memos.items() if ref not in poked}


def _compare(ctx: Context, cluster: str, memos: Memos, few: int) -> dict[str, str]:
    if not memos:
        return {}
    target = ctx.targets.reach(Reach.decode(cluster, ctx.state.cluster(cluster)))
    expected = {ref: _expected(memo["fp"]) for ref, memo in memos.items()}
    live = _read_all(target, {key for objects in expected.values() for key in objects}, few)
    poked: dict[str, str] = {}
    for ref, objects in expected.items():
        for (oid, _), fingerprint in objects.items():
            found = live.get(oid)
            if found is None or found.fingerprint != fingerprint:
                poked[ref] = f"drift: {oid} {'is gone' if found is None else 'changed'}"
                break
    return poked | _unhealthy(target, _without(memos, poked))


def _expected(fingerprints: Mapping[str, str]) -> dict[tuple[ObjectId, str], str]:
    found = {}
    for key, fingerprint in fingerprints.items():
        inventory_id, _, version = key.rpartition("@")
        if fingerprint:
            found[ObjectId.from_inventory_id(inventory_id), version] = fingerprint
    return found


def _read_all(target: Target, objects: Iterable[tuple[ObjectId, str]], few: int) -> dict[ObjectId, Live]:
    """The objects that are there; those of a kind by GET when there are at most `few`."""
    kinds: dict[tuple[str, str, str], list[ObjectId]] = defaultdict(list)
    for oid, version in objects:
        kinds[oid.group, version, oid.kind].append(oid)
    live: dict[ObjectId, Live] = {}
    single: list[tuple[Resource, ObjectId]] = []
    for (group, version, kind), ids in sorted(kinds.items()):
        try:
            resource = target.discovery.resource(group, version, kind)
        except NoMatch:
            continue  # its objects count as gone, and the run that follows says what is missing
        if len(ids) <= few:
            single += [(resource, oid) for oid in ids]
        else:
            live.update(list_metadata(target, resource, marks.OWNED))
    return live | _get_all(target, single)


def _get_all(target: Target, objects: list[tuple[Resource, ObjectId]]) -> dict[ObjectId, Live]:
    def get(item: tuple[Resource, ObjectId]) -> Live | None:
        resource, oid = item
        return get_metadata(target.client, resource, oid.namespace, oid.name)

    found = zip(objects, pool.run_all(get, objects), strict=True)
    return {oid: live for (_, oid), live in found if live is not None}


def _unhealthy(target: Target, memos: Memos) -> dict[str, str]:
    """Refs that promised health and no longer have it, all asked per kind and not per ref."""
    owners: dict[ObjectId, list[str]] = defaultdict(list)
    wanted: dict[ObjectId, str] = {}
    for ref, memo in memos.items():
        for inventory_id, version in (memo.get("healthy") or {}).items():
            oid = ObjectId.from_inventory_id(inventory_id)
            wanted[oid] = version
            owners[oid].append(ref)
    waiting = unsettled(target, wanted, marks.OWNED)
    return {ref: f"health: {describe({oid: health})}" for oid, health in waiting.items() for ref in owners[oid]}
