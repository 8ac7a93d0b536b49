"""A sweep may give back what it did not look at."""

from __future__ import annotations

import pytest

from tests.support.registry import SHARD, Registry, record, ref
from tests.support.wait import until

pytestmark = pytest.mark.unit


def swept(registry: Registry) -> int:
    """The fence of a sweep that holds a and b."""
    registry.settled(record("a", every_ms=300), record("b", every_ms=300), sweepable=True)
    until(lambda: registry.state.depths()[2].due == 2, message="all are due")
    (sweep,) = registry.state.claim(SHARD).sweeps
    return sweep.fence


def test_what_is_given_back_is_swept_later(registry: Registry) -> None:
    """It needs no run and has no reason; what the sweep keeps stays its own."""
    fence = swept(registry)
    assert registry.state.delay(SHARD, fence, [ref("a")], 30) == 1
    assert 29 < registry.due_in("a") <= 30
    assert registry.state.live([ref("a"), ref("b")]) == {ref("b"): "sweep"}
    assert registry.state.settle(SHARD, fence, [ref("a"), ref("b")]) == 1
    assert 29 < registry.due_in("a") <= 30
    assert registry.state.depths()[2].live == 0


def test_given_back_at_once_it_is_swept_again(registry: Registry) -> None:
    """As it was: by its interval alone."""
    fence = swept(registry)
    registry.state.delay(SHARD, fence, [ref("a"), ref("b")], 0)
    (again,) = until(lambda: registry.state.claim(SHARD).sweeps, message="due again")
    assert (sorted(again.refs), again.why) == ([ref("a"), ref("b")], "")


def test_what_left_the_sweep_is_not_delayed(registry: Registry) -> None:
    """A poke came first; the run that it asked for is due at once."""
    fence = swept(registry)
    registry.state.poke([ref("a")], "webhook")
    assert registry.state.delay(SHARD, fence, [ref("a"), ref("b")], 30) == 1
    assert [(run.ref, run.why) for run in registry.claim()] == [(ref("a"), "webhook")]
    assert registry.state.delay(SHARD, fence + 1, [ref("b")], 0) == 0
