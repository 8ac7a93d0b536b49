"""One holder of a role at a time."""

from __future__ import annotations

import pytest

from fleetbeat.state import State
from tests.support.wait import until

pytestmark = pytest.mark.unit


def test_a_role_has_one_holder(redis_url: str) -> None:
    """A second process gets it when it is released, with a greater fence."""
    state = State(redis_url)
    first = state.acquire("reporter", "one", 60)
    assert first is not None
    assert state.acquire("reporter", "two", 60) is None
    assert state.acquire("registrar", "two", 60) is not None
    assert state.renew_role("reporter", first, 60)
    assert state.release("reporter", first)
    second = state.acquire("reporter", "two", 60)
    assert second is not None
    assert second > first
    assert not state.renew_role("reporter", first, 60)
    assert not state.release("reporter", first)
    state.close()


def test_a_role_is_free_when_its_holder_is_gone(redis_url: str) -> None:
    """After its lease, and the late one cannot come back."""
    state = State(redis_url)
    first = state.acquire("reporter", "one", 0.05)
    assert first is not None
    second = until(lambda: state.acquire("reporter", "two", 60), message="the lease ends")
    assert second is not None
    assert second > first
    assert not state.renew_role("reporter", first, 60)
    state.close()


def test_a_restarted_holder_takes_over_from_itself(redis_url: str) -> None:
    """Under its own name it need not wait; its former self is out."""
    state = State(redis_url)
    before = state.acquire("reporter", "one", 60)
    after = state.acquire("reporter", "one", 60)
    assert before is not None
    assert after is not None
    assert after > before
    assert not state.renew_role("reporter", before, 60)
    state.close()
