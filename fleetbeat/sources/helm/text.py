"""YAML of Helm's own files (index, Chart.yaml, Chart.lock) with every scalar as the text that stands there.

In these files nothing but `true`, `false` and null has a type: a version `1.10` is text and must stay that. Values
come from libyaml's events one after the other, so that a huge document needs no more memory than one of its parts.
Values files of charts are not read here, because their types matter (values.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

MAX_DEPTH = 50
"""Levels of one value."""
MAX_NODES = 200_000
"""Scalars and collections of one value."""
_CONSTANTS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}


class Unreadable(ValueError):
    """What is wrong with the text, and in which line."""


class Reader:
    """One document, event by event."""

    def __init__(self, source: BinaryIO | bytes) -> None:
        self._events: Iterator[Event] = yaml.parse(source, Loader=yaml.CSafeLoader)
        self._left = 0

    def next(self) -> Event:
        """The next event; raises Unreadable where the text is no YAML."""
        try:
            return next(self._events)
        except StopIteration:
            raise Unreadable("it ends too early") from None
        except yaml.YAMLError as error:
            raise Unreadable(_explain(error)) from None

    def start(self) -> Event:
        """The first event of the document's content."""
        while isinstance(event := self.next(), StreamStartEvent | DocumentStartEvent):
            pass
        if isinstance(event, StreamEndEvent):
            raise Unreadable("it is empty")
        return event

    def value(self, first: Event | None = None) -> Any:
        """The whole value that begins with `first`, by default the next event."""
        self._left = MAX_NODES
        return self._value(self.next() if first is None else first, MAX_DEPTH)

    def mapping(self) -> Iterator[str]:
        """The keys of a mapping whose start was read; after each the caller reads its value."""
        while not isinstance(event := self.next(), MappingEndEvent):
            yield _key(event)

    def _value(self, event: Event, depth: int) -> Any:
        self._left -= 1
        if depth < 0 or self._left < 0:
            where = line_of(event)
            raise Unreadable(f"{where}: one value nests deeper than {MAX_DEPTH} or has over {MAX_NODES} parts")
        if type(event) is ScalarEvent:
            return _CONSTANTS.get(event.value, event.value) if event.implicit[0] else event.value
        if type(event) is MappingStartEvent:
            found = {}
            while type(key := self.next()) is not MappingEndEvent:
                found[_key(key)] = self._value(self.next(), depth - 1)
            return found
        if type(event) is SequenceStartEvent:
            items = []
            while type(item := self.next()) is not SequenceEndEvent:
                items.append(self._value(item, depth - 1))
            return items
        if type(event) is AliasEvent:
            raise Unreadable(f"{line_of(event)}: aliases (*{event.anchor}) are not supported")
        raise Unreadable(f"{line_of(event)}: a value is missing")


def read(data: bytes) -> Any:
    """A small document at once; None when it is empty."""
    reader = Reader(data)
    try:
        first = reader.start()
    except Unreadable as error:
        if str(error) == "it is empty":
            return None
        raise
    return reader.value(first)


def write(value: Any) -> bytes:
    """The document of a value that `read` gave; text that looks like another type is quoted."""
    text: str = yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text.encode()


def _key(event: Event) -> str:
    if not isinstance(event, ScalarEvent):
        raise Unreadable(f"{line_of(event)}: a key is not text")
    return str(event.value)


def line_of(event: Event) -> str:
    """`line 12`, for messages."""
    return f"line {event.start_mark.line + 1}" if event.start_mark is not None else "somewhere"


def _explain(error: yaml.YAMLError) -> str:
    """libyaml's sentence with the line in front."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is not None:
        return f"line {mark.line + 1}: {problem or 'it is not YAML'}"
    return str(getattr(error, "reason", None) or problem or "it is not YAML text")
