"""The order in which objects are applied: stages with a barrier between them, waves in a stage, a rank in a wave.

Pure functions of an object's group and kind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import groupby
from typing import TypeVar

from fleetbeat.api.refs import ObjectId

_FIRST = (
    "CustomResourceDefinition",
    "Namespace",
    "ClusterRole",
    "ClusterClass",
    "RuntimeClass",
    "PriorityClass",
    "StorageClass",
    "VolumeSnapshotClass",
    "IngressClass",
    "GatewayClass",
    "ClusterRoleBinding",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Service",
    "LimitRange",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
)
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_OTHERS = len(_FIRST)
_RANK = {kind: rank for rank, kind in enumerate(_FIRST)} | {kind: _OTHERS + 1 + i for i, kind in enumerate(_LAST)}
_WORKLOADS = _RANK["Deployment"]

T = TypeVar("T")
GroupKind = tuple[str, str]


def rank(oid: ObjectId) -> tuple[int, str, str, str, str]:
    """Sorts objects into the order of apply; reversed, of deletion."""
    return _RANK.get(oid.kind, _OTHERS), oid.group, oid.kind, oid.namespace, oid.name


def stage(oid: ObjectId, early: Collection[GroupKind] = ()) -> int:
    """1: what defines and contains the rest. 2: classes. 3: the kinds of `early`. 4: all others.

    A stage is complete before the next begins.
    """
    if oid.kind in ("CustomResourceDefinition", "Namespace", "ClusterRole"):
        return 1
    if oid.kind.endswith("Class"):
        return 2
    return 3 if (oid.group, oid.kind) in early else 4


def wave(oid: ObjectId) -> int:
    """What is written at once in a stage: what workloads refer to, the workloads and the rest, webhooks."""
    place = _RANK.get(oid.kind, _OTHERS)
    return 0 if place < _WORKLOADS else 1 if place <= _OTHERS else 2


def grouped(items: Iterable[T], oid: Callable[[T], ObjectId], level: Callable[[ObjectId], int]) -> list[list[T]]:
    """`items` sorted by rank and split by `level` (`stage` or `wave`), lowest first."""
    ordered = sorted(items, key=lambda item: (level(oid(item)), rank(oid(item))))
    return [list(group) for _, group in groupby(ordered, key=lambda item: level(oid(item)))]
