"""When a run that failed through no fault of its resource is tried again."""

from __future__ import annotations

import pytest

from fleetbeat.errors import BuildFailed, FleetbeatError, StorageFailed, Unexpected
from fleetbeat.kube.errors import Forbidden, ServerError, Unreachable
from fleetbeat.reconcile import backoff

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (StorageFailed(), True),
        (Unreachable(), True),
        (ServerError(), True),
        (Unexpected(), True),
        (BuildFailed(), False),
        (Forbidden(), False),
    ],
)
def test_what_heals_without_the_resource_is_told_from_what_does_not(error: FleetbeatError, away: bool) -> None:
    """Only the former comes back before its interval."""
    assert backoff.is_away(error) is away


def test_the_pause_grows_to_a_minute() -> None:
    """It doubles with every failure in a row."""
    assert [backoff.pause(n) for n in range(1, 7)] == [5, 10, 20, 40, 60, 60]
    assert backoff.pause(1_000_000) == 60


def test_a_poke_begins_anew() -> None:
    """The cluster answers again, so what was counted before means nothing."""
    assert backoff.count({"failures": 5}, "") == 6
    assert backoff.count({"failures": 5}, "the cluster answers again") == 1
    assert backoff.count({}, "") == 1
