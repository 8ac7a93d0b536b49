"""Token buckets that all processes share."""

from __future__ import annotations

import pytest

from fleetbeat.state import State
from tests.support.wait import until

pytestmark = pytest.mark.unit


def test_a_bucket_gives_its_burst_and_then_its_rate(redis_url: str) -> None:
    """As many as it holds at once, then one after the other; what it says to wait is what it takes."""
    state = State(redis_url)
    assert [state.take("host:a", 5, 3) for _ in range(3)] == [0, 0, 0]
    wait = state.take("host:a", 5, 3)
    assert 0 < wait <= 0.2
    until(lambda: state.take("host:a", 5, 3) == 0, message="a token comes back")
    assert state.take("host:a", 5, 3) > 0
    state.close()


def test_buckets_are_separate_and_shared(redis_url: str) -> None:
    """Another name has its own tokens; another process has the same."""
    one, two = State(redis_url), State(redis_url)
    assert one.take("host:a", 1, 1) == 0
    assert two.take("host:a", 1, 1) > 0
    assert two.take("host:b", 1, 1) == 0
    for state in (one, two):
        state.close()


def test_a_bucket_that_rests_gives_nothing(redis_url: str) -> None:
    """However full it is; a shorter rest does not end a longer one, and other buckets go on."""
    state = State(redis_url)
    state.rest("host:tired", 30)
    state.rest("host:tired", 1)
    assert 29 < state.take("host:tired", 5, 3) <= 30
    assert state.take("host:awake", 5, 3) == 0
    state.rest("host:soon", 0.2)
    assert state.take("host:soon", 5, 3) > 0
    until(lambda: state.take("host:soon", 5, 3) == 0, message="its rest is over")
    state.close()
