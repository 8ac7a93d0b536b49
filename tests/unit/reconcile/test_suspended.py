"""What the status of a suspended resource tells, as seen of Flux's kustomize-controller and source-controller 1.9."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fleetbeat.api.kinds import KINDS
from fleetbeat.reconcile.status import Attempt

pytestmark = pytest.mark.unit

Status = dict[str, Any]


def condition(kind: str, value: str, generation: int = 1) -> Status:
    """Of an attempt at that generation."""
    stamps = {"observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {"type": kind, "status": value, "reason": "Because", "message": "so", **stamps}


def suspended(kind: str, old: Status, requested: str = "") -> Status:
    """Its status after it was suspended, which made generation 2."""
    annotations = {"reconcile.fluxcd.io/requestedAt": requested} if requested else {}
    obj = {"kind": kind, "metadata": {"name": "x", "generation": 2, "annotations": annotations}}
    before = copy.deepcopy(old)
    found = Attempt(obj, old).suspended(KINDS[kind].controller)
    assert old == before
    return found


READY = {"observedGeneration": 1, "conditions": [condition("Ready", "True")], "lastAppliedRevision": "main@sha1:1"}
RETRYING = {"observedGeneration": -1, "conditions": [condition("Reconciling", "True"), condition("Ready", "False")]}
WAITING = {"observedGeneration": -1, "conditions": [condition("Ready", "False")]}
STALLED = {"observedGeneration": 1, "conditions": [condition("Stalled", "True"), condition("Ready", "False")]}
NEW = {"observedGeneration": -1}


@pytest.mark.parametrize("kind", ["Kustomization", "Receiver"])
@pytest.mark.parametrize("old", [READY, RETRYING, WAITING, STALLED, NEW, {}])
def test_of_what_is_applied_the_generation_moves_when_it_is_ready(kind: str, old: Status) -> None:
    """And nothing else does."""
    assert suspended(kind, old) == ({**old, "observedGeneration": 2} if old is READY else old)


@pytest.mark.parametrize("kind", ["GitRepository", "OCIRepository", "HelmRepository", "HelmChart", "Bucket"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            {
                "observedGeneration": 1,
                "artifact": {"revision": "main@sha1:1"},
                "conditions": [condition("Ready", "True"), condition("ArtifactInStorage", "True")],
            },
            {
                "observedGeneration": 2,
                "artifact": {"revision": "main@sha1:1"},
                "conditions": [condition("Ready", "True", 2), condition("ArtifactInStorage", "True")],
            },
        ),
        (
            {**RETRYING, "conditions": [*RETRYING["conditions"], condition("FetchFailed", "True")]},
            {
                "observedGeneration": 2,
                "conditions": [
                    condition("Reconciling", "True", 2),
                    condition("Ready", "False", 2),
                    condition("FetchFailed", "True"),
                ],
            },
        ),
        (STALLED, {"observedGeneration": 2, "conditions": [condition("Ready", "False", 2)]}),
        (NEW, NEW),
        ({}, {}),
    ],
)
def test_of_a_source_the_generation_moves_once_it_has_run(kind: str, old: Status, new: Status) -> None:
    """Ready or not; nobody says any longer that a person must change it."""
    assert suspended(kind, old) == new


@pytest.mark.parametrize("old", [READY, STALLED])
def test_of_an_artifact_generator_no_generation_moves(old: Status) -> None:
    """Its annotation makes none."""
    assert suspended("ArtifactGenerator", old) == old


@pytest.mark.parametrize("kind", ["Kustomization", "GitRepository", "Receiver", "ArtifactGenerator"])
@pytest.mark.parametrize("old", [READY, RETRYING, WAITING, STALLED, NEW, {}])
def test_a_request_is_answered_whatever_the_state(kind: str, old: Status) -> None:
    """Also of what has never run."""
    answered = suspended(kind, {**old, "lastHandledReconcileAt": "then"}, "now")
    assert answered == {**suspended(kind, old), "lastHandledReconcileAt": "now"}
