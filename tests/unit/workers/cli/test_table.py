"""Aligned columns: what a person sees in a terminal and a program in a pipe."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from workers.cli.table import Block, Cell, folded, line, lines
from workers.cli.terminal import Tone

pytestmark = pytest.mark.unit

HEADERS = ["NAME", "READY", "MESSAGE"]
ROWS = [
    [Cell("apps"), Cell("True", Tone.GOOD), Cell("Applied revision: main@sha1:0123abcd")],
    [Cell("infrastructure"), Cell("False", Tone.BAD), Cell("kustomize build failed: accumulating resources: a b c")],
]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """Every column begins at the same place in every line."""
    header, *body = lines([Block(HEADERS, ROWS)])
    assert header == "NAME             READY   MESSAGE"
    assert body[0] == "apps             True    Applied revision: main@sha1:0123abcd"
    assert {text.index(cells[2].text) for text, cells in zip(body, ROWS, strict=True)} == {header.index("MESSAGE")}


def test_without_a_terminal_nothing_is_cut_and_nothing_trails() -> None:
    """A pipe gets whole messages, no escapes and no trailing blanks."""
    drawn = lines([Block(HEADERS, [*ROWS, [Cell("bare"), Cell(""), Cell("")]])])
    assert drawn[2].endswith("a b c")
    assert not any("\x1b" in text or text != text.rstrip() for text in drawn)


def test_a_long_message_folds_below_itself() -> None:
    """In a narrow terminal the message continues in its own column."""
    drawn = lines([Block(HEADERS, ROWS)], width=60)
    assert max(map(cell_len, drawn)) <= 60
    at = drawn[0].index("MESSAGE")
    assert drawn[-1][:at].strip() == "" and drawn[-1][at] != " "


def test_a_live_row_stays_one_line() -> None:
    """A cropped message ends in an ellipsis."""
    drawn = lines([Block(HEADERS, ROWS)], width=60, crop=True)
    assert len(drawn) == 3
    assert cell_len(drawn[2]) <= 60
    assert drawn[2].endswith("…")


def test_a_terminal_too_narrow_for_folding_is_left_to_wrap() -> None:
    """Below a readable width the line is printed whole."""
    assert lines([Block(HEADERS, ROWS)], width=40)[2].endswith("a b c")


def test_colours_do_not_count_as_width() -> None:
    """Alignment is the same with and without colours."""
    plain = lines([Block(HEADERS, ROWS)])
    coloured = lines([Block(HEADERS, ROWS)], colour=True)
    assert coloured[1] == plain[1].replace("True", "\x1b[32mTrue\x1b[0m")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", [""]),
        ("one two three", ["one two", "three"]),
        ("abcdefghijkl", ["abcdefgh", "ijkl"]),
        ("to abcdefghijkl", ["to", "abcdefgh", "ijkl"]),
    ],
)
def test_folding_breaks_between_words_first(text: str, pieces: list[str]) -> None:
    """A word is only broken when it alone is too long."""
    assert folded(text, 8) == pieces


def test_tables_with_the_same_headers_share_their_columns() -> None:
    """Blocks of several kinds read as one page; others keep their own widths."""
    drawn = lines(
        [Block(HEADERS, ROWS[:1]), Block(["NAME", "TAG"], [[Cell("x"), Cell("y")]]), Block(HEADERS, ROWS[1:])]
    )
    assert drawn[0] == drawn[6] == "NAME             READY   MESSAGE"
    assert drawn[3:5] == ["NAME   TAG", "x      y"]
    assert drawn[2] == drawn[5] == ""


def test_a_later_line_keeps_the_columns() -> None:
    """A row that comes alone is padded to the table that went before."""
    assert line(ROWS[0], [14, 5, 7], colour=False).startswith("apps             True    Applied")
