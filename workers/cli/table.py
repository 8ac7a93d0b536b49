"""Aligned columns without a frame, as kubectl and flux print them.

Owns widths, folding and cropping of a table that is already text. Must not know Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

from workers.cli.terminal import Tone, paint

GAP = "   "
NARROWEST = 30
"""Columns of text below which folding the last column would only make it harder to read."""


class Cell(NamedTuple):
    """A text and the state that it shows."""

    text: str
    tone: Tone = Tone.PLAIN


Row = Sequence[Cell]


class Block(NamedTuple):
    """One table: its headers and rows."""

    headers: Sequence[str]
    rows: Sequence[Row]

    @property
    def all(self) -> list[Row]:
        """The header as a row, then the others."""
        return [[Cell(header) for header in self.headers], *self.rows]


def lines(blocks: Sequence[Block], *, width: int | None = None, colour: bool = False, crop: bool = False) -> list[str]:
    """The lines of tables, with an empty one between; those with the same headers have the same columns.

    `width` (terminal columns) folds a too long last column below itself, or crops it with an ellipsis when `crop`
    is set; None leaves it whole.
    """
    drawn: list[str] = []
    for block in blocks:
        alike = [row for other in blocks if list(other.headers) == list(block.headers) for row in other.all]
        widths = widths_of(alike)
        room = _room(widths, width)
        drawn += [""] if drawn else []
        drawn += [line for row in block.all for line in _row_lines(row, widths, room, colour, crop)]
    return drawn


def widths_of(rows: Sequence[Row]) -> list[int]:
    """The width of each column."""
    return [max(cell_len(cell.text) for cell in column) for column in zip(*rows, strict=True)]


def line(row: Row, least: Sequence[int], colour: bool) -> str:
    """One more row, whole, in columns of at least these widths."""
    widths = [max(width, cell_len(cell.text)) for width, cell in zip(least, row, strict=True)]
    return next(iter(_row_lines(row, widths, None, colour, crop=False)))


def _room(widths: Sequence[int], width: int | None) -> int | None:
    if width is None:
        return None
    room = width - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)
    return room if room >= NARROWEST else None


def _row_lines(row: Row, widths: Sequence[int], room: int | None, colour: bool, crop: bool) -> Iterable[str]:
    *first, last = row
    left = "".join(_padded(cell, width, colour) + GAP for cell, width in zip(first, widths[:-1], strict=True))
    indent = " " * (sum(widths[:-1]) + len(GAP) * len(first))
    pieces = [last.text] if room is None else [_cropped(last.text, room)] if crop else folded(last.text, room)
    for number, piece in enumerate(pieces):
        yield ((indent if number else left) + paint(piece, last.tone, colour)).rstrip()


def _padded(cell: Cell, width: int, colour: bool) -> str:
    return paint(cell.text, cell.tone, colour) + " " * (width - cell_len(cell.text))


def _cropped(text: str, room: int) -> str:
    return text if cell_len(text) <= room else set_cell_size(text, room - 1).rstrip() + "…"


def folded(text: str, room: int) -> list[str]:
    """`text` in pieces of at most `room` columns, broken between words where there are any."""
    pieces = [""]
    for word in text.split(" "):
        joined = f"{pieces[-1]} {word}" if pieces[-1] else word
        if cell_len(joined) <= room:
            pieces[-1] = joined
        else:
            chopped = chop_cells(word, room)
            pieces = [*pieces, *chopped] if pieces[-1] else chopped
    return pieces
