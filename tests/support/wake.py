"""Waking sources in tests as a webhook does."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbeat.state import State
from tests.support.wait import until


def wake(state: State, refs: Sequence[str]) -> None:
    """Poke them; returns in a later ms of Redis' clock, as a look serves only those who were woken before its ms."""
    state.poke(refs, "webhook", urgent=True)
    woken = _now(state)
    until(lambda: _now(state) > woken, interval=0.001, message="the clock goes on")


def _now(state: State) -> int:
    seconds, micros = state.command("TIME")
    return int(seconds) * 1000 + int(micros) // 1000
