"""Readiness of what a Kustomization applied, asked once and not waited for.

Owns which objects count, how they are read (one LIST per kind where there are many) and how a failure is told. The wait
itself is a state in the due-set: the pipeline returns, and the observer or a backoff brings it back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from fleetbeat.api.refs import ObjectId, split_api_version
from fleetbeat.kube import pool
from fleetbeat.kube.errors import Forbidden, NoMatch, NotFound
from fleetbeat.kube.readiness import Health, State
from fleetbeat.kube.target import Target
from fleetbeat.reconcile.healthrules import Rules, assess

Wanted = Mapping[ObjectId, str]
"""id → API version (without its group)."""

NO_RULES: Rules = {}

LIST_FROM = 4
"""From this many objects of one kind on, one LIST is cheaper than a GET each."""
LISTED = 25
"""Times as many objects as are asked for that such a LIST reads at most, from where on a GET each is cheaper again."""

_BY_EXISTING = {
    "": ("ConfigMap", "Secret", "ServiceAccount", "Service", "LimitRange", "ResourceQuota", "Endpoints"),
    "rbac.authorization.k8s.io": ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
    "networking.k8s.io": ("Ingress", "IngressClass", "NetworkPolicy"),
    "scheduling.k8s.io": ("PriorityClass",),
    "storage.k8s.io": ("StorageClass",),
}
_WORKLOADS = {
    "": ("Pod", "PersistentVolumeClaim"),
    "apps": ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"),
    "batch": ("Job",),
}


def _kinds(groups: Mapping[str, Iterable[str]]) -> frozenset[tuple[str, str]]:
    return frozenset((group, kind) for group, kinds in groups.items() for kind in kinds)


CURRENT_BY_EXISTING = _kinds(_BY_EXISTING)
"""(group, kind) of what is ready by existing; an object that was just applied exists."""
TAKES_TIME = _kinds(_WORKLOADS)
"""(group, kind) of what is never ready at the moment of its apply, because a controller has to act first."""

FIRST_LOOK = 0.25
"""Seconds from apply to the second look."""


def fleeting(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """Inventory ids of the Jobs that the cluster removes when they have ended: being gone, they are done."""
    return [
        ObjectId.of(obj).inventory_id
        for obj in objects
        if obj["kind"] == "Job"
        and split_api_version(obj["apiVersion"])[0] == "batch"
        and (obj.get("spec") or {}).get("ttlSecondsAfterFinished") is not None
    ]


def next_look(looks: int) -> float:
    """Seconds until the next look at objects that are not ready: the observer usually comes first."""
    return min(FIRST_LOOK * 1.6**looks, 15.0)


def unsettled(target: Target, wanted: Wanted, selector: str, rules: Rules = NO_RULES) -> dict[ObjectId, Health]:
    """The health of every wanted object that is not current; `selector` selects them by label where many are listed."""
    groups: dict[tuple[str, str, str], list[ObjectId]] = defaultdict(list)
    for oid, version in wanted.items():
        groups[oid.group, version, oid.kind].append(oid)
    found: dict[ObjectId, Health] = {}
    for (group, version, kind), ids in groups.items():
        found.update(_assess_kind(target, group, version, kind, ids, selector, rules))
    return {oid: health for oid, health in found.items() if health.state is not State.CURRENT}


def describe(waiting: Mapping[ObjectId, Health]) -> str:
    """`Deployment/web/app status: 'InProgress': 0 of 1 updated; …`, at most five."""
    parts = [f"{oid} status: '{h.state.value}'" + (f": {h.message}" if h.message else "") for oid, h in waiting.items()]
    more = f"; and {len(parts) - 5} more" if len(parts) > 5 else ""
    return "; ".join(parts[:5]) + more


def failed(waiting: Mapping[ObjectId, Health]) -> dict[ObjectId, Health]:
    """Those that will not become current by waiting."""
    return {oid: health for oid, health in waiting.items() if health.state is State.FAILED}


def _assess_kind(
    target: Target, group: str, version: str, kind: str, ids: Iterable[ObjectId], selector: str, rules: Rules
) -> dict[ObjectId, Health]:
    ids = list(ids)
    try:
        resource = target.discovery.resource(group, version, kind)
    except NoMatch as error:
        return dict.fromkeys(ids, Health(State.NOT_FOUND, error.message))
    live: dict[ObjectId, Any] = {}
    if len(ids) >= LIST_FROM:
        namespaces = {oid.namespace for oid in ids}
        path = resource.path(namespaces.pop() if len(namespaces) == 1 else "")
        live = {_id(group, kind, item): item for item in _list(target, path, selector, LISTED * len(ids))}
    # in no LIST: beyond its limit, gone, or not labelled as ours, as where a health check is on somebody else's object
    missing = [oid for oid in ids if oid not in live]
    paths = [resource.path(oid.namespace, oid.name) for oid in missing]
    live |= zip(missing, pool.run_all(lambda path: _get(target, path), paths), strict=True)
    return {oid: _health(live[oid], group, version, kind, rules) for oid in ids}


def _id(group: str, kind: str, item: Mapping[str, Any]) -> ObjectId:
    return ObjectId(group, kind, item["metadata"].get("namespace") or "", item["metadata"]["name"])


def _list(target: Target, path: str, selector: str, limit: int) -> list[dict[str, Any]]:
    """Nothing where the account may not list: it may still get."""
    try:
        return target.writer.list(path, {"labelSelector": selector, "limit": limit}).get("items") or []
    except Forbidden:
        return []


def _get(target: Target, path: str) -> dict[str, Any] | Health | None:
    """The object; or that the account may not read it, which somebody may allow before the timeout."""
    try:
        found: dict[str, Any] = target.writer.get(path)
    except NotFound:
        return None
    except Forbidden as error:
        return Health(State.UNKNOWN, error.message)
    return found


def _health(obj: dict[str, Any] | Health | None, group: str, version: str, kind: str, rules: Rules) -> Health:
    if isinstance(obj, Health):
        return obj
    if obj is None:
        return Health(State.NOT_FOUND, "not found")
    obj.setdefault("kind", kind)
    obj.setdefault("apiVersion", f"{group}/{version}" if group else version)
    return assess(obj, rules)
