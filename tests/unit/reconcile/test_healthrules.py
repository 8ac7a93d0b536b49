"""`spec.healthCheckExprs`: health as the user's own expressions tell it."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.api.appliers import HealthCheckExpr
from fleetbeat.errors import InvalidExpression
from fleetbeat.kube.readiness import State
from fleetbeat.reconcile.healthrules import assess, rules_of

pytestmark = pytest.mark.unit

RULE = HealthCheckExpr(
    api_version="example.com/v1",
    kind="Lake",
    in_progress="status.phase == 'Filling'",
    failed="status.phase == 'Dry'",
    current="status.phase in ['Full', 'Dry', 'Filling']",
)


def lake(**status: Any) -> dict[str, Any]:
    """An object of the kind, of another version than the rule's."""
    return {"apiVersion": "example.com/v2", "kind": "Lake", "metadata": {"generation": 2}, "status": status}


@pytest.mark.parametrize(
    ("status", "state", "says"),
    [
        ({"phase": "Full"}, State.CURRENT, "current is true"),
        ({"phase": "Filling"}, State.IN_PROGRESS, "inProgress is true"),
        ({"phase": "Dry"}, State.FAILED, "failed is true: status.phase == 'Dry'"),
        ({"phase": "Odd"}, State.IN_PROGRESS, "current is not true"),
        ({"phase": "Full", "observedGeneration": 1}, State.IN_PROGRESS, "generation 2 is not observed"),
        ({}, State.IN_PROGRESS, "spec.healthCheckExprs of Lake: inProgress"),
        ({"phase": 7}, State.IN_PROGRESS, "current is not true"),
    ],
)
def test_the_first_true_question_decides(status: dict[str, Any], state: State, says: str) -> None:
    """In progress, then failed, then current; nothing true or a missing field means in progress."""
    found = assess(lake(**status), rules_of([RULE]))
    assert found.state is state
    assert says in found.message


def test_other_kinds_and_deletions_keep_the_common_rules() -> None:
    """A rule is for its group and kind alone, and never hides that an object is being deleted."""
    rules = rules_of([RULE])
    assert assess({**lake(), "apiVersion": "other.com/v1"}, rules).state is State.CURRENT
    gone = lake(phase="Full")
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert assess(gone, rules).state is State.TERMINATING


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (HealthCheckExpr(api_version="v1", kind="Lake", current="status.phase =="), "of Lake: current"),
        (HealthCheckExpr(api_version="v1", current="true"), "names no kind"),
    ],
)
def test_what_cannot_be_an_expression_is_refused(entry: HealthCheckExpr, says: str) -> None:
    """Before anything is applied, naming the entry."""
    with pytest.raises(InvalidExpression, match=says):
        rules_of([entry])
