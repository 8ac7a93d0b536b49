"""What the live table holds."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fleetbeat.api.kinds import KINDS
from workers.cli.board import PULSE, Board
from workers.cli.get import Query
from workers.cli.words import parse

pytestmark = pytest.mark.unit

KS = KINDS["Kustomization"]


def obj(name: str, message: str = "applied", **meta: Any) -> dict[str, Any]:
    """A ready Kustomization."""
    ready = {"type": "Ready", "status": "True", "reason": "R", "message": message}
    return {"metadata": {"name": name, "namespace": "team", **meta}, "status": {"conditions": [ready]}}


def board(words: str = "ks") -> Board:
    """An empty board for one namespace."""
    return Board(Query(parse(words.split()), "team"))


def test_only_what_shows_is_a_change() -> None:
    """A new resourceVersion with the same row is not drawn again."""
    shown = board()
    assert shown.put(KS, obj("apps"))
    shown.stale = False
    assert not shown.put(KS, obj("apps", resourceVersion="2"))
    assert not shown.stale
    assert shown.put(KS, obj("apps", "failed"))
    assert shown.stale


def test_a_list_replaces_everything() -> None:
    """After a gap in the watch, what is missing from the list is gone and only differences are told."""
    shown = board()
    shown.replace(KS, [obj("a"), obj("b")])
    assert [o["metadata"]["name"] for o in shown.replace(KS, [obj("b"), obj("c")])] == ["c"]
    assert [line.split()[0] for line in shown.lines(None, False)] == ["NAME", "b", "c"]
    shown.drop(KS, obj("b"))
    assert [line.split()[0] for line in shown.lines(None, False)] == ["NAME", "c"]


def test_a_changed_row_stands_out_for_a_moment() -> None:
    """Its name is bold, and calm again after the pulse."""
    shown = board()
    shown.put(KS, obj("apps"))
    assert "\x1b[1mapps\x1b[0m" in shown.lines(None, True)[1]
    shown.stale = False
    shown.calm(time.monotonic() + PULSE + 1)
    assert shown.stale
    assert "\x1b[1m" not in shown.lines(None, True)[1]


def test_named_objects_only() -> None:
    """Watches see every object of a kind; the board takes those that were asked for."""
    shown = board("ks/apps")
    assert shown.wants(obj("apps")) and not shown.wants(obj("other"))


def test_an_empty_board_says_so() -> None:
    """Nothing yet is a line, not a blank screen."""
    assert board().lines(80, False) == ["There is nothing in namespace team yet."]
