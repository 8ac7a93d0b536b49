"""Conditions: when their time moves, and in which order they stand."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.api.conditions import get_condition, is_ready, remove_condition, set_condition

pytestmark = pytest.mark.unit

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def ready(status: str = "True", reason: str = "Succeeded", message: str = "done") -> list[dict[str, Any]]:
    """A list with the condition Ready, set early."""
    conditions: list[dict[str, Any]] = []
    set_condition(conditions, "Ready", status, reason, message, 1, EARLY)
    return conditions


def test_a_new_condition_has_every_field() -> None:
    """What Kubernetes requires is there, and the generation."""
    assert ready() == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Succeeded",
            "message": "done",
            "observedGeneration": 1,
            "lastTransitionTime": EARLY,
        }
    ]


@pytest.mark.parametrize(
    ("status", "reason", "message", "time"),
    [
        ("True", "Succeeded", "done", EARLY),
        ("False", "Succeeded", "done", LATE),
        ("True", "Other", "done", LATE),
        ("True", "Succeeded", "Applied revision: main@sha1:2", LATE),
    ],
)
def test_the_time_moves_with_what_the_condition_says(status: str, reason: str, message: str, time: str) -> None:
    """Status, reason and message count, as with Flux; another generation alone leaves the time where it is."""
    conditions = ready()
    set_condition(conditions, "Ready", status, reason, message, 2, LATE)
    assert conditions == [
        {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": 2,
            "lastTransitionTime": time,
        }
    ]


def test_a_condition_that_somebody_left_without_time_gets_one() -> None:
    """The result is always complete."""
    conditions: list[dict[str, Any]] = [{"type": "Ready", "status": "True"}]
    set_condition(conditions, "Ready", "True", "Succeeded", "done", 1, LATE)
    assert conditions[0]["lastTransitionTime"] == LATE


def test_conditions_stand_in_flux_order() -> None:
    """Stalled, Reconciling, Ready, then by name, in whatever order they were set."""
    conditions: list[dict[str, Any]] = []
    for kind in ("Healthy", "Ready", "ArtifactInStorage", "Reconciling", "Stalled"):
        set_condition(conditions, kind, "True", "Reason", "", 1, EARLY)
    assert [c["type"] for c in conditions] == ["Stalled", "Reconciling", "Ready", "ArtifactInStorage", "Healthy"]


def test_a_condition_can_be_removed_whether_it_is_there_or_not() -> None:
    """The list itself is changed."""
    conditions = ready()
    remove_condition(conditions, "Stalled")
    assert get_condition(conditions, "Ready") is not None
    remove_condition(conditions, "Ready")
    assert conditions == []
    assert get_condition(conditions, "Ready") is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, False),
        ({}, False),
        ({"conditions": None}, False),
        ({"conditions": ready("Unknown")}, False),
        ({"conditions": ready("False")}, False),
        ({"conditions": ready("True")}, True),
    ],
)
def test_ready_is_what_the_condition_says(status: dict[str, Any] | None, expected: bool) -> None:
    """Everything but Ready=True is not ready."""
    assert is_ready(status) is expected
