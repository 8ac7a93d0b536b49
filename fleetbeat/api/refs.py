"""Names of things: a resource on the hub (`Ref`) and an object on any cluster (`ObjectId`).

Owns their text forms, which appear in Redis keys, logs, the CLI and in Flux's `status.inventory`. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

HUB = "hub"
"""The cluster id of the cluster that holds the API."""


class Ref(NamedTuple):
    """`Kind/namespace/name`: the key of a resource everywhere."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Read `Kind/namespace/name`; raises ValueError on anything else."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"{text!r} is not of the form Kind/namespace/name")
        return cls(*parts)

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Ref:
        """The ref of a namespaced object."""
        return cls(obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])


def status_of(ref: Ref) -> str:
    """What a resource refers to besides `ref` when it looks at the whole status of it, not only whether it is ready."""
    return f"status:{ref}"


class ObjectId(NamedTuple):
    """What makes an object one: group, kind, namespace ("" when cluster-scoped) and name; not its version."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """`Kind/namespace/name` or `Kind/name`, as Flux's events print it."""
        return f"{self.kind}/{self.namespace}/{self.name}" if self.namespace else f"{self.kind}/{self.name}"

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> ObjectId:
        """The id of an object as rendered or as read."""
        meta = obj["metadata"]
        group, _ = split_api_version(obj["apiVersion"])
        return cls(group, obj["kind"], meta.get("namespace") or "", meta["name"])

    @property
    def inventory_id(self) -> str:
        """Flux's `<namespace>_<name>_<group>_<kind>`, with `:` in names written `__`."""
        return f"{self.namespace}_{self.name.replace(':', '__')}_{self.group}_{self.kind}"

    @classmethod
    def from_inventory_id(cls, text: str) -> ObjectId:
        """Read Flux's inventory id; raises ValueError on anything else."""
        namespace, _, rest = text.partition("_")
        rest, _, kind = rest.rpartition("_")
        name, sep, group = rest.rpartition("_")
        if not sep or not kind or not name:
            raise ValueError(f"{text!r} is not an inventory id")
        return cls(group, kind, namespace, name.replace("__", ":"))


def split_api_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` → `("apps", "v1")`; `v1` → `("", "v1")`."""
    group, _, version = api_version.rpartition("/")
    return group, version
