"""The part of a Kustomization's memo that the observer reads: what its last run left behind, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from fleetbeat.api.refs import ObjectId


class Kind(NamedTuple):
    """Group, version and kind of managed objects."""

    group: str
    version: str
    kind: str


class _Wait(msgspec.Struct, frozen=True):
    waiting: dict[str, str] = {}


class Memo(msgspec.Struct, frozen=True):
    """fingerprints by `<inventory id>@<version>`; `health` while objects are awaited; ids that differ at every look;
    `failures` while the last run failed because its cluster, the hub or S3 was away.
    """

    fp: dict[str, str] = {}
    health: _Wait | None = None
    noisy: tuple[str, ...] = ()
    failures: int = 0

    def awaits(self, inventory_id: str) -> bool:
        """Whether a health check waits for this object."""
        return self.health is not None and inventory_id in self.health.waiting

    def kinds(self) -> Iterator[Kind]:
        """Of every object, with repeats."""
        for key in self.fp:
            inventory_id, _, version = key.rpartition("@")
            head, _, kind = inventory_id.rpartition("_")
            yield Kind(head.rpartition("_")[2], version, kind)


_decoder = msgspec.json.Decoder(Memo)


def read(memo: bytes | None) -> Memo | None:
    """The memo; None when there is none, or none that can be read."""
    if not memo:
        return None
    try:
        return _decoder.decode(memo)
    except msgspec.MsgspecError:
        return None


def object_of(key: str) -> ObjectId:
    """The object that a key of `fp` names."""
    return ObjectId.from_inventory_id(key.rpartition("@")[0])
