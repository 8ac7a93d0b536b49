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


def test_who_rests_takes_nothing(redis_url: str) -> None:
    """However full the bucket is; a shorter rest does not end a longer one, and others, or one of several, go on."""
    state = State(redis_url)
    state.rest("tired", 30)
    state.rest("tired", 1)
    state.rest("weary", 20)
    assert 29 < state.take("host:full", 5, 3, ["tired"]) <= 30
    assert 19 < state.take("host:full", 5, 3, ["tired", "weary"]) <= 20
    assert state.take("host:full", 5, 3, ["tired", "awake"]) == 0
    assert state.take("host:full", 5, 3) == 0
    state.rest("soon", 0.2)
    assert state.take("host:full", 5, 3, ["soon"]) > 0
    until(lambda: state.take("host:full", 5, 3, ["soon"]) == 0, message="its rest is over")
    state.close()
