"""The wire forms of lists and watch events, decoded as cheaply as the caller's question allows. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from fleetbeat.kube.metadata import Partial


class _ObjectListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    following: str = msgspec.field(name="continue", default="")


class _ObjectList(msgspec.Struct, frozen=True):
    metadata: _ObjectListMeta
    items: list[dict[str, Any]] | None = None


class _PartialList(msgspec.Struct, frozen=True):
    metadata: _ObjectListMeta
    items: list[Partial] | None = None
    """null when there is none."""


class _Line(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


_objects = msgspec.json.Decoder(_ObjectList)
_partials = msgspec.json.Decoder(_PartialList)
_line = msgspec.json.Decoder(_Line)
_partial = msgspec.json.Decoder(Partial)


def decode_objects(body: bytes) -> tuple[list[Any], str, str]:
    page = _objects.decode(body)
    return list(page.items or ()), page.metadata.resource_version, page.metadata.following


def decode_partials(body: bytes) -> tuple[list[Any], str, str]:
    page = _partials.decode(body)
    return list(page.items or ()), page.metadata.resource_version, page.metadata.following


def event_object(line: bytes) -> tuple[str, Any, str]:
    event = _line.decode(line)
    obj = orjson.loads(memoryview(event.object))
    return event.type, obj, (obj.get("metadata") or {}).get("resourceVersion") or ""


def event_partial(line: bytes) -> tuple[str, Any, str]:
    event = _line.decode(line)
    if event.type in ("ERROR", "BOOKMARK"):
        return event_object(line)
    obj = _partial.decode(event.object)
    return event.type, obj, obj.metadata.resource_version
