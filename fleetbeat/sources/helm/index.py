"""The index of a chart repository: from the index.yaml of a server to the JSON of our artifact, and back to entries.

Owns what is kept of an index (everything) and what of it can be chosen (entries with a version and a URL). An index may
have 50 MiB and a million lines; it is read one version of one chart at a time, so that memory does not grow with it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from yaml.events import Event, MappingStartEvent, ScalarEvent, SequenceEndEvent, SequenceStartEvent

from fleetbeat.errors import IndexationFailed
from fleetbeat.sources.helm.text import Reader, Unreadable, line_of

Raw = msgspec.Raw


class Entry(msgspec.Struct, frozen=True):
    """One version of one chart, as far as choosing and downloading it takes."""

    name: str = ""
    version: str = ""
    urls: tuple[str, ...] = ()
    digest: str | None = None
    """Hex sha256 of the package, where the index says."""
    created: str | None = None


@dataclass(frozen=True)
class Counted:
    """What an index has."""

    charts: int
    versions: int


class _Index(msgspec.Struct, frozen=True):
    entries: dict[str, Raw] = {}


class _JsonIndex(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str | None = None
    generated: str | None = None
    entries: dict[str, list[Raw] | None] | None = None


_entry = msgspec.json.Decoder(Entry)
_entries = msgspec.json.Decoder(list[Raw])
_index = msgspec.json.Decoder(_Index)
_json_index = msgspec.json.Decoder(_JsonIndex)
_mapping = msgspec.json.Decoder(dict[str, Any])


def convert(source: BinaryIO, out: BinaryIO) -> Counted:
    """Write the index in `source` (YAML, or JSON from its first byte on) to `out` as JSON.

    Raises IndexationFailed naming the chart's entry where it is malformed.
    """
    start = source.read(1)
    source.seek(0)
    return _Converter(out).json(source.read()) if start == b"{" else _Converter(out).yaml(source)


def entries_of(index: Path, chart: str) -> list[Entry] | None:
    """What an index in our JSON says of one chart, in its own order; None when it has no such chart.

    Entries that nobody could install (no version, no URL, not of Helm's form) are left out.
    """
    with index.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        view = memoryview(data)
        try:
            raw = _index.decode(view).entries.get(chart)
            found = None if raw is None else [bytes(item) for item in _entries.decode(bytes(raw))]
            del raw
        finally:
            view.release()
    return None if found is None else list(_usable(found))


def _usable(items: list[bytes]) -> Iterator[Entry]:
    for item in items:
        with suppress(msgspec.ValidationError):
            entry = _entry.decode(item)
            if entry.version and entry.urls:
                yield entry


class _Converter:
    """Writes one index."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._charts = 0
        self._versions = 0
        self._fields: dict[str, Any] = {}

    def yaml(self, source: BinaryIO) -> Counted:
        reader = Reader(source)
        try:
            first = reader.start()
            if not isinstance(first, MappingStartEvent):
                raise Unreadable("it is not a mapping with apiVersion and entries")
            self._out.write(b'{"entries":{')
            for key in reader.mapping():
                if key == "entries":
                    self._yaml_entries(reader)
                else:
                    self._fields[key] = reader.value()
        except Unreadable as error:
            raise IndexationFailed(f"the index is malformed: {error}") from None
        return self._end()

    def json(self, data: bytes) -> Counted:
        try:
            index = _json_index.decode(data)
        except msgspec.MsgspecError as error:
            raise IndexationFailed(f"the index is malformed: {error}") from None
        self._out.write(b'{"entries":{')
        for name, versions in (index.entries or {}).items():
            self._begin(name)
            for number, raw in enumerate(versions or ()):
                if bytes(raw) != b"null":
                    self._version(_decoded(name, number, bytes(raw)))
            self._out.write(b"]")
        self._fields = {"apiVersion": index.api_version, "generated": index.generated}
        return self._end()

    def _yaml_entries(self, reader: Reader) -> None:
        first = reader.next()
        if _is_null(first):
            return
        if not isinstance(first, MappingStartEvent):
            raise Unreadable("entries is not a mapping of charts")
        for name in reader.mapping():
            self._begin(name)
            self._yaml_chart(reader, name)
            self._out.write(b"]")

    def _yaml_chart(self, reader: Reader, name: str) -> None:
        first, number = reader.next(), 0
        if _is_null(first):
            return
        if not isinstance(first, SequenceStartEvent):
            raise Unreadable(f"entries.{name} is not a list of versions ({line_of(first)})")
        while not isinstance(event := reader.next(), SequenceEndEvent):
            try:
                value = reader.value(event)
            except Unreadable as error:
                raise Unreadable(f"entries.{name}[{number}]: {error}") from None
            if value is not None:
                _check(name, number, value)
                self._version(value)
            number += 1

    def _begin(self, name: str) -> None:
        comma = b"," if self._charts else b""
        self._out.write(comma + msgspec.json.encode(name) + b":[")
        self._charts += 1
        self._first = True

    def _version(self, value: dict[str, Any]) -> None:
        self._out.write((b"" if self._first else b",") + msgspec.json.encode(value))
        self._first = False
        self._versions += 1

    def _end(self) -> Counted:
        known = {key: value for key, value in self._fields.items() if value is not None}
        if not known.get("apiVersion"):
            raise IndexationFailed("the index is malformed: it has no apiVersion; is this a chart repository?")
        rest = msgspec.json.encode(known)[1:]
        self._out.write(b"}," + rest)
        self._out.flush()
        return Counted(self._charts, self._versions)


def _is_null(event: Event) -> bool:
    return isinstance(event, ScalarEvent) and event.implicit[0] and event.value in ("", "null", "~")


def _check(name: str, number: int, value: Any) -> None:
    if not isinstance(value, dict):
        raise Unreadable(f"entries.{name}[{number}] is not a mapping")
    urls = value.get("urls")
    if urls is not None and not isinstance(urls, list):
        raise Unreadable(f"entries.{name}[{number}].urls is not a list")


def _decoded(name: str, number: int, raw: bytes) -> dict[str, Any]:
    try:
        value = _mapping.decode(raw)
        _check(name, number, value)
    except msgspec.MsgspecError:
        raise IndexationFailed(f"the index is malformed: entries.{name}[{number}] is not a mapping") from None
    except Unreadable as error:
        raise IndexationFailed(f"the index is malformed: {error}") from None
    return value
