"""One look at everything of a cluster whose interval came round: equal fingerprints mean that our intent stands.

Costs one LIST per kind for all owners together and writes nothing. A ref whose objects differ, are missing or are no
longer healthy is poked and gets a run of its own. Reads under Fleetbeat's own account.
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
from fleetbeat.kube.errors import NoMatch
from fleetbeat.kube.metadata import Live, list_metadata
from fleetbeat.kube.reach import Reach
from fleetbeat.kube.target import Target
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.health import describe, unsettled
from fleetbeat.reconcile.kustomization import FULL_EVERY


@dataclass(frozen=True)
class Swept:
    """What a sweep found, for Flower."""

    cluster: str
    unchanged: int
    poked: tuple[str, ...]
    seconds: float = 0.0

    def __repr__(self) -> str:
        poked = f", {len(self.poked)} poked: {', '.join(self.poked[:3])}" if self.poked else ""
        return f"{self.cluster}: {self.unchanged} unchanged{poked} in {self.seconds:.2f}s"


def sweep(ctx: Context, shard: str, cluster: str, fence: int, refs: list[str]) -> Swept:
    """Check `refs` of one cluster together and settle them; what differs is poked.

    A cluster that cannot be reached pokes all of them, so that each one's status says why.
    """
    begun = time()
    memos = {ref: msgspec.json.decode(memo) for ref, memo in ctx.state.memos(shard, refs).items() if memo}
    poked = {ref: "nothing known since the registry was rebuilt" for ref in refs if "fp" not in memos.get(ref, {})}
    poked |= {
        r: "full check" for r, memo in memos.items() if r not in poked and begun - memo.get("full", 0) > FULL_EVERY
    }
    known = {ref: memo for ref, memo in memos.items() if ref not in poked}
    try:
        poked |= _compare(ctx, cluster, known)
    except FleetbeatError as error:
        poked |= dict.fromkeys(known, f"sweep failed: {error.message[:200]}")
    unchanged = [ref for ref in refs if ref not in poked]
    ctx.state.settle(shard, fence, unchanged, poked)
    return Swept(cluster, len(unchanged), tuple(poked), time() - begun)


def _compare(ctx: Context, cluster: str, memos: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    if not memos:
        return {}
    target = ctx.targets.reach(Reach.decode(cluster, ctx.state.cluster(cluster)))
    expected = {ref: _expected(memo["fp"]) for ref, memo in memos.items()}
    live = _list_all(target, {key for objects in expected.values() for key in _kinds(objects)}, ctx.hub_id)
    poked: dict[str, str] = {}
    for ref, objects in expected.items():
        for (oid, _), fingerprint in objects.items():
            found = live.get(oid)
            if found is None or found.fingerprint != fingerprint:
                poked[ref] = f"drift: {oid} {'is gone' if found is None else 'changed'}"
                break
    return poked | _unhealthy(target, {ref: memos[ref] for ref in memos if ref not in poked}, ctx.hub_id)


def _expected(fingerprints: Mapping[str, str]) -> dict[tuple[ObjectId, str], str]:
    found = {}
    for key, fingerprint in fingerprints.items():
        inventory_id, _, version = key.rpartition("@")
        if fingerprint:
            found[ObjectId.from_inventory_id(inventory_id), version] = fingerprint
    return found


def _kinds(objects: Iterable[tuple[ObjectId, str]]) -> set[tuple[str, str, str]]:
    return {(oid.group, version, oid.kind) for oid, version in objects}


def _list_all(target: Target, kinds: Iterable[tuple[str, str, str]], hub_id: str) -> dict[ObjectId, Live]:
    live: dict[ObjectId, Live] = {}
    for group, version, kind in sorted(kinds):
        try:
            resource = target.discovery.resource(group, version, kind)
        except NoMatch:
            continue  # its objects count as gone, and the run that follows says what is missing
        live.update(list_metadata(target, resource, f"fleetbeat.io/hub={hub_id}"))
    return live


def _unhealthy(target: Target, memos: Mapping[str, Mapping[str, Any]], hub_id: str) -> dict[str, str]:
    """Refs that promised health and no longer have it, all asked per kind and not per ref."""
    owners: dict[ObjectId, list[str]] = defaultdict(list)
    wanted: dict[ObjectId, str] = {}
    for ref, memo in memos.items():
        for inventory_id, version in (memo.get("healthy") or {}).items():
            oid = ObjectId.from_inventory_id(inventory_id)
            wanted[oid] = version
            owners[oid].append(ref)
    waiting = unsettled(target, wanted, f"fleetbeat.io/hub={hub_id}")
    return {ref: f"health: {describe({oid: health})}" for oid, health in waiting.items() for ref in owners[oid]}
