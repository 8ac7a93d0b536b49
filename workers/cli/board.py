"""What `get --watch` shows: the objects as they are now, and which rows just changed. No I/O."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fleetbeat.api.kinds import Kind
from workers.cli import rows, table
from workers.cli.get import Query
from workers.cli.terminal import Tone

PULSE = 1.5
"""Seconds for which a changed row stands out."""

Key = tuple[str, str]
"""Namespace and name."""


@dataclass
class Board:
    """The objects of a query by kind."""

    query: Query
    objects: dict[str, dict[Key, rows.Obj]] = field(default_factory=dict)
    changed: dict[tuple[str, Key], float] = field(default_factory=dict)
    """When a row last looked different, monotonic seconds."""
    stale: bool = True
    """Something is to be drawn that is not on the screen."""

    def wants(self, obj: rows.Obj) -> bool:
        """Whether an object was asked for; watches see all of a kind."""
        names = self.query.selection.names
        return not names or obj["metadata"]["name"] in names

    def replace(self, kind: Kind, objects: Sequence[rows.Obj]) -> list[rows.Obj]:
        """Take a whole list; the answer is what looks different from before."""
        keys = {_key(obj) for obj in objects}
        before = self.objects.setdefault(kind.name, {})
        gone = [key for key in before if key not in keys]
        for key in gone:
            del before[key]
        self.stale = self.stale or bool(gone)
        return [obj for obj in objects if self.put(kind, obj)]

    def put(self, kind: Kind, obj: rows.Obj) -> bool:
        """Take one object; whether its row looks different from before."""
        known = self.objects.setdefault(kind.name, {})
        key = _key(obj)
        old, known[key] = known.get(key), obj
        columns = self.query.columns(kind)
        if old is not None and rows.row(columns, kind, old) == rows.row(columns, kind, obj):
            return False
        self.changed[kind.name, key] = time.monotonic()
        self.stale = True
        return True

    def drop(self, kind: Kind, obj: rows.Obj) -> None:
        """Forget an object that was deleted."""
        self.objects.get(kind.name, {}).pop(_key(obj), None)
        self.stale = True

    def calm(self, now: float) -> None:
        """Let rows that changed a while ago look like the others."""
        old = [key for key, when in self.changed.items() if now - when > PULSE]
        for key in old:
            del self.changed[key]
        self.stale = self.stale or bool(old)

    def lines(self, width: int | None, colour: bool) -> list[str]:
        """The whole table, each row one line of at most `width` columns."""
        blocks = list(self._blocks())
        if not blocks:
            return [f"There is nothing in {self.query.place} yet."]
        return table.lines(blocks, width=width, colour=colour, crop=True)

    def widths(self, kind: Kind) -> list[int]:
        """The widths of one kind's columns."""
        return table.widths_of(self._block(kind).all)

    def _blocks(self) -> Iterator[table.Block]:
        for kind in self.query.selection.kinds:
            if self.objects.get(kind.name):
                yield self._block(kind)

    def _block(self, kind: Kind) -> table.Block:
        columns = self.query.columns(kind)
        found = self.objects[kind.name]
        return table.Block(rows.headers(columns), [self._cells(columns, kind, found[key]) for key in sorted(found)])

    def _cells(self, columns: Sequence[rows.Column], kind: Kind, obj: rows.Obj) -> table.Row:
        cells = rows.row(columns, kind, obj)
        if (kind.name, _key(obj)) not in self.changed:
            return cells
        named = [column.header in ("NAME", "NAMESPACE") for column in columns]
        return [c._replace(tone=Tone.STRONG) if name else c for c, name in zip(cells, named, strict=True)]


def _key(obj: rows.Obj) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]
