"""When a wait ends, and how."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.api.meta import REQUESTED_AT
from fleetbeat.api.refs import Ref
from workers.cli.reconcile import source_of, verdict
from workers.cli.suspend import resumed
from workers.cli.terminal import Tone

pytestmark = pytest.mark.unit


def obj(handled: str, *conditions: tuple[str, str, str], observed: int = 2) -> dict[str, Any]:
    """An object at generation 2 that was asked for a run at "now"."""
    return {
        "metadata": {"generation": 2, "annotations": {REQUESTED_AT: "now"}},
        "status": {
            "lastHandledReconcileAt": handled,
            "observedGeneration": observed,
            "conditions": [{"type": t, "status": s, "reason": r, "message": "m"} for t, s, r in conditions],
        },
    }


@pytest.mark.parametrize(
    ("handled", "conditions", "tone", "message"),
    [
        ("before", [("Ready", "True", "Succeeded")], Tone.WAIT, "waiting for a worker"),
        ("before", [("Ready", "False", "BuildFailed")], Tone.WAIT, "waiting for a worker"),
        ("now", [("Ready", "True", "Succeeded")], Tone.GOOD, "m"),
        ("now", [("Ready", "Unknown", "Progressing")], Tone.WAIT, "m"),
        ("now", [("Ready", "False", "DependencyNotReady")], Tone.WAIT, "m"),
        (
            "now",
            [("Ready", "False", "BuildFailed"), ("Reconciling", "True", "ProgressingWithRetry")],
            Tone.BAD,
            "BuildFailed: m",
        ),
        (
            "now",
            [("Ready", "False", "DependencyNotReady"), ("Stalled", "True", "X")],
            Tone.BAD,
            "DependencyNotReady: m",
        ),
        ("now", [], Tone.WAIT, "waiting to be reconciled"),
    ],
)
def test_a_request_is_over_when_it_was_handled_and_decided(
    handled: str, conditions: list[tuple[str, str, str]], tone: Tone, message: str
) -> None:
    """An answer to an earlier request is not ours; a failure is told at once, although retries go on."""
    assert verdict(obj(handled, *conditions)) == (tone, message)


def test_a_resumed_object_is_judged_by_its_present_generation() -> None:
    """What was true before the suspension does not count."""
    assert resumed(obj("", ("Ready", "True", "Succeeded"), observed=1)).tone is Tone.WAIT
    assert resumed(obj("", ("Ready", "True", "Succeeded"), observed=2)).tone is Tone.GOOD


@pytest.mark.parametrize(
    ("spec", "source"),
    [
        ({"sourceRef": {"kind": "GitRepository", "name": "repo"}}, Ref("GitRepository", "team", "repo")),
        ({"sourceRef": {"kind": "GitRepository", "name": "repo", "namespace": "x"}}, Ref("GitRepository", "x", "repo")),
        ({"chartRef": {"kind": "OCIRepository", "name": "c"}}, Ref("OCIRepository", "team", "c")),
        (
            {"chart": {"spec": {"sourceRef": {"kind": "HelmRepository", "name": "c"}}}},
            Ref("HelmRepository", "team", "c"),
        ),
        ({}, None),
    ],
)
def test_sources_are_found_in_each_kind(spec: dict[str, Any], source: Ref | None) -> None:
    """--with-source knows where each kind names its source."""
    assert source_of({"metadata": {"namespace": "team"}, "spec": spec}) == source
