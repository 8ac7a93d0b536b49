"""How a rendered set of objects differs from a cluster: by dry runs of the apply that a worker would do.

Owns the questions to the API server and the verdict on each object; prints nothing and writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fleetbeat.api.refs import ObjectId, split_api_version
from fleetbeat.kube import drift, marks, order
from fleetbeat.kube.client import APPLY
from fleetbeat.kube.desired import Desired, prepare
from fleetbeat.kube.errors import KubeError, NoMatch, NotFound
from fleetbeat.kube.ignoring import Rule, around, ignored_in
from fleetbeat.kube.look import DRY_RUN, describe
from fleetbeat.kube.pool import run_all
from fleetbeat.kube.target import Target
from workers.cli.manifests import MASK, is_sealed, is_secret, masked, masked_pair, sealed_pair

Obj = dict[str, Any]

_NOISE = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink")


@dataclass(frozen=True)
class Difference:
    """One object: how it would change, with both sides masked; `problem` where the cluster refuses it."""

    id: ObjectId
    action: str
    """created, changed, deleted, unchanged or skipped."""
    before: Obj | None = None
    after: Obj | None = None
    notes: tuple[str, ...] = ()
    """What the apply would undo besides what `before` and `after` show."""
    problem: str = ""


def compare(
    target: Target, objects: Sequence[Obj], owner: Mapping[str, str], rules: Sequence[Rule], brought: Brought
) -> list[Difference]:
    """Each object in the order of apply; `owner` are the labels of the objects' owner, `rules` those of spec.ignore."""
    wanted = [one for group in order.grouped(objects, ObjectId.of, order.stage) for one in group]
    asked = _Asked(target, owner, rules, brought)
    return run_all(lambda obj: _compare_one(asked, obj), wanted)


def stale(
    target: Target, inventory: Mapping[ObjectId, str], wanted: Collection[ObjectId], owner: Mapping[str, str]
) -> list[Difference]:
    """What a prune would delete: of the inventory, not wanted any more, there, still its owner's and not kept."""
    gone = [oid for oid in sorted(inventory, key=order.rank, reverse=True) if oid not in wanted]
    return [found for found in run_all(lambda oid: _stale_one(target, oid, inventory[oid], owner), gone) if found]


@dataclass(frozen=True)
class Brought:
    """What is built at the same time and brought to the cluster, so that a dry run cannot know it yet."""

    namespaces: frozenset[str]
    kinds: frozenset[tuple[str, str]]

    @classmethod
    def by(cls, objects: Sequence[Obj]) -> Brought:
        """Namespaces and kinds that are among the objects."""
        spaces = {
            obj["metadata"]["name"] for obj in objects if obj["kind"] == "Namespace" and obj["apiVersion"] == "v1"
        }
        kinds = set()
        for obj in objects:
            if obj["kind"] == "CustomResourceDefinition":
                spec = obj.get("spec") or {}
                kinds.add((str(spec.get("group")), str((spec.get("names") or {}).get("kind"))))
        return cls(frozenset(spaces), frozenset(kinds))


@dataclass(frozen=True)
class _Asked:
    """What all objects of one comparison share."""

    target: Target
    owner: Mapping[str, str]
    rules: Sequence[Rule]
    brought: Brought


def _compare_one(asked: _Asked, obj: Obj) -> Difference:
    oid = ObjectId.of(obj)
    group, version = split_api_version(obj["apiVersion"])
    if marks.ignored(obj["metadata"]):
        return Difference(oid, "skipped")
    try:
        resource = asked.target.discovery.resource(group, version, oid.kind)
    except NoMatch as error:
        if (group, oid.kind) in asked.brought.kinds:
            return Difference(oid, "created", after=masked(obj))
        return Difference(oid, "unchanged", problem=f"{oid} dry-run failed: {error.message}")
    if resource.namespaced and not oid.namespace:
        missing = "namespace not specified: set metadata.namespace or spec.targetNamespace"
        return Difference(oid, "unchanged", problem=f"{oid} {missing}")
    desired = prepare(_with_placeholders(obj), resource, asked.owner, ignored_in(obj, asked.rules))
    try:
        return _dry_run(asked, desired, obj)
    except KubeError as error:
        if isinstance(error, NotFound) and oid.namespace in asked.brought.namespaces:
            return Difference(oid, "created", after=masked(obj))
        return Difference(oid, "unchanged", problem=describe(desired, error))


def _dry_run(asked: _Asked, desired: Desired, obj: Obj) -> Difference:
    writer = asked.target.writer
    try:
        live = writer.get(desired.path)
    except NotFound:
        answer: Obj = writer.send("PATCH", desired.path, DRY_RUN, desired.body, APPLY).json()
        return Difference(desired.id, "created", after=masked(_plain(answer)))
    if marks.ignored(live["metadata"]) or marks.once(desired.metadata):
        return Difference(desired.id, "skipped")
    near = around(desired.body, live, desired.ignored, asked.owner) if desired.ignored else None
    body = near.body if near is not None else desired.body
    answer = writer.send("PATCH", desired.path, DRY_RUN, body, APPLY).json()
    before, after = (sealed_pair if is_sealed(obj) else masked_pair)(_plain(live), _plain(answer))
    innocent = partial(near.covers, wanted=answer) if near is not None else lambda _: False
    merge = marks.merges(obj["metadata"]) or marks.merges(live["metadata"])
    notes = tuple(note for note in drift.find(live, answer, merge=merge, innocent=innocent) if " added by " in note)
    action = "unchanged" if before == after and not notes else "changed"
    return Difference(desired.id, action, before, after, notes)


def _stale_one(target: Target, oid: ObjectId, version: str, owner: Mapping[str, str]) -> Difference | None:
    try:
        resource = target.discovery.resource(oid.group, version, oid.kind)
        live = target.writer.get(resource.path(oid.namespace, oid.name))
    except (NotFound, NoMatch):
        return None
    except KubeError as error:
        return Difference(oid, "unchanged", problem=f"{oid} cannot be read: {error.message}")
    metadata = live["metadata"]
    if not owner.items() <= (metadata.get("labels") or {}).items():
        return None
    if marks.kept(metadata) or marks.ignored(metadata) or metadata.get("deletionTimestamp"):
        return None
    return Difference(oid, "deleted")


def _plain(obj: Obj) -> Obj:
    """Without what the API server keeps for itself."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _NOISE}
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}


def _with_placeholders(obj: Obj) -> Obj:
    """An encrypted object with values that an API server takes."""
    if not is_sealed(obj):
        return obj
    if not is_secret(obj):
        return masked(obj)
    keys = [key for field in ("data", "stringData") for key in obj.get(field) or {}]
    rest = {key: value for key, value in obj.items() if key not in ("sops", "data", "stringData")}
    return {**rest, "stringData": dict.fromkeys(keys, MASK)}
