"""`status.history`: repeats are counted, changes are listed, five are kept."""

from __future__ import annotations

import pytest

from fleetbeat.reconcile.history import record

pytestmark = pytest.mark.unit


def test_a_repeat_of_the_same_build_and_outcome_is_counted() -> None:
    """The entry keeps its first time and moves to the front."""
    first = record([], "sha256:a", "ReconciliationSucceeded", "T1", 0.5, {"revision": "r1"})
    other = record(first, "sha256:b", "BuildFailed", "T2", 0.5, {"revision": "r2"})
    again = record(other, "sha256:a", "ReconciliationSucceeded", "T3", 0.25, {"revision": "r3"})
    assert [entry["digest"] for entry in again] == ["sha256:a", "sha256:b"]
    assert again[0] == {
        "digest": "sha256:a",
        "firstReconciled": "T1",
        "lastReconciled": "T3",
        "lastReconciledDuration": "0.250s",
        "lastReconciledStatus": "ReconciliationSucceeded",
        "totalReconciliations": 2,
        "metadata": {"revision": "r3"},
    }


def test_five_entries_are_kept() -> None:
    """The oldest go."""
    history: list[dict[str, object]] = []
    for number in range(8):
        history = record(history, f"sha256:{number}", "ReconciliationSucceeded", f"T{number}", 1, {})
    assert [entry["digest"] for entry in history] == [f"sha256:{number}" for number in (7, 6, 5, 4, 3)]
