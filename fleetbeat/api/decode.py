"""From JSON to Structs: lenient towards fields that we do not know, exact about those that we do.

Owns the wording of what is wrong with an object. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec

from fleetbeat.api.kinds import KINDS, Kind
from fleetbeat.api.meta import Metadata, Part
from fleetbeat.errors import InvalidSpec

SpecT = TypeVar("SpecT", bound=Part)
StatusT = TypeVar("StatusT", bound=Part)
T = TypeVar("T")

_WHERE = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")
_EXPECTED = re.compile(r"`([^`|]*?)( \| null)?`")


for _kind in KINDS.values():
    # msgspec describes a type at its first use, and crashes when two threads do so at once. Therefore everything that
    # is decoded has its decoder made while modules load.
    for _type in (Metadata, _kind.spec, _kind.status):
        if _type is not None:
            msgspec.json.Decoder(_type)


class Resource(msgspec.Struct, Generic[SpecT, StatusT], frozen=True):
    """A custom resource as read from the hub; the status is None for a kind without one."""

    metadata: Metadata
    spec: SpecT
    status: StatusT


def decode(kind: Kind, obj: bytes | str | Mapping[str, Any]) -> Resource[Any, Any]:
    """Read a whole object, from JSON or as a dict; raises InvalidSpec naming object and field."""
    fields = _load(kind, obj)
    return Resource(
        metadata=_convert(kind, fields, "metadata", Metadata),
        spec=_convert(kind, fields, "spec", kind.spec),
        status=_convert(kind, fields, "status", kind.status) if kind.status else None,
    )


def decode_spec(kind: Kind, obj: bytes | str | Mapping[str, Any]) -> Any:
    """Read only the spec of an object, as an instance of `kind.spec`; raises InvalidSpec naming object and field."""
    return _convert(kind, _load(kind, obj), "spec", kind.spec)


def _load(kind: Kind, obj: bytes | str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(obj, Mapping):
        return obj
    try:
        return msgspec.json.decode(obj, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidSpec(f"{kind.name}: not a JSON object: {error}") from None


def _convert(kind: Kind, fields: Mapping[str, Any], part: str, into: type[T]) -> T:
    try:
        return msgspec.convert(fields.get(part) or {}, into)
    except msgspec.ValidationError as error:
        raise InvalidSpec(f"{_name(kind, fields)}: {_explain(part, str(error))}") from None


def _name(kind: Kind, fields: Mapping[str, Any]) -> str:
    meta = fields.get("metadata")
    named = cast(Mapping[str, Any], meta) if isinstance(meta, Mapping) else {}
    return f"{kind.name} {named.get('namespace', '')}/{named.get('name', '')}"


def _explain(part: str, problem: str) -> str:
    """msgspec's sentence, turned so that the field comes first: `spec.url: is missing`."""
    where = _WHERE.search(problem)
    path = where["path"] if where else ""
    problem = problem[: where.start()] if where else problem
    missing = _MISSING.search(problem)
    if missing:
        path, problem = f"{path}.{missing['field']}", "is missing"
    else:
        problem = _EXPECTED.sub(r"\1", problem)
    field = ".".join(step for step in (part, *path.split(".")) if step)
    return f"{field}: {problem[0].lower()}{problem[1:]}"
