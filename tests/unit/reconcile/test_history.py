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


def test_a_failure_of_the_same_build_has_an_entry_of_its_own() -> None:
    """Digest and outcome together make an entry; each counts for itself."""
    outcomes = ("HealthCheckFailed", "ReconciliationSucceeded", "HealthCheckFailed")
    history: list[dict[str, object]] = []
    for number, outcome in enumerate(outcomes):
        history = record(history, "sha256:a", outcome, f"T{number}", 1, {})
    found = [
        (e["lastReconciledStatus"], e["totalReconciliations"], e["firstReconciled"], e["lastReconciled"])
        for e in history
    ]
    assert found == [("HealthCheckFailed", 2, "T0", "T2"), ("ReconciliationSucceeded", 1, "T1", "T1")]


def test_what_was_given_stays_as_it_was() -> None:
    """The old history may still be what the status holds."""
    before = record([], "sha256:a", "ReconciliationSucceeded", "T1", 1, {"revision": "r1"})
    record(before, "sha256:a", "ReconciliationSucceeded", "T2", 1, {"revision": "r2"})
    assert (before[0]["totalReconciliations"], before[0]["metadata"]) == (1, {"revision": "r1"})


@pytest.mark.parametrize(("seconds", "text"), [(0, "0.001s"), (0.25, "0.250s"), (75.5, "75.500s")])
def test_durations_are_what_kubernetes_reads(seconds: float, text: str) -> None:
    """Seconds with a unit, never zero."""
    assert record([], "sha256:a", "X", "T", seconds, {})[0]["lastReconciledDuration"] == text
