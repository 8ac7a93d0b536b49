"""Logins that are kept for a while, in memory."""

from __future__ import annotations

import time

import pytest

from fleetbeat.sources import tokens
from fleetbeat.sources.tokens import MARGIN, Held, Tokens

pytestmark = pytest.mark.unit


def held(login: str, seconds: float = 3600) -> Held[str]:
    """A login that ends so soon."""
    return Held(login, time.time() + seconds)


def test_a_login_serves_until_shortly_before_its_end() -> None:
    """And those of another not at all."""
    kept: Tokens[str] = Tokens()
    assert kept.get("a", lambda: held("1", MARGIN - 1)) == "1"
    assert kept.get("a", lambda: held("2")) == "2"
    assert kept.get("a", lambda: held("3")) == "2"
    assert kept.get("b", lambda: held("4")) == "4"
    kept.forget("a")
    assert kept.get("a", lambda: held("5")) == "5"


def test_two_who_log_in_at_once_have_one_login() -> None:
    """That of who was faster, for equal logins are looked at together."""
    kept: Tokens[str] = Tokens()

    def slow() -> Held[str]:
        assert kept.get("a", lambda: held("fast")) == "fast"
        return held("slow")

    assert kept.get("a", slow) == "fast"
    assert kept.get("a", slow) == "fast"


def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were used last."""
    monkeypatch.setattr(tokens, "KEPT", 2)
    kept: Tokens[str] = Tokens()
    for whose in ("a", "b", "a", "c"):
        kept.get(whose, lambda: held("1"))
    assert [kept.get(whose, lambda: held("2")) for whose in ("a", "c", "b")] == ["1", "1", "2"]
