"""HelmReleases that another controller reconciles, as dependencies: their status wakes who waits for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleetbeat.api.refs import Ref
from fleetbeat.reconcile.dependencies import reader
from fleetbeat.state import State
from tests.support.hub import Start, User, Worker
from tests.support.wait import until

pytestmark = pytest.mark.cluster

OWNED = ("Kustomization",)
RELEASE: dict[str, Any] = {"interval": "1h", "chartRef": {"kind": "OCIRepository", "name": "db"}}


def report(user: User, name: str, ready: str, observed: int = 1) -> None:
    """What helm-controller writes."""
    condition = {
        "type": "Ready",
        "status": ready,
        "reason": "X",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {"observedGeneration": observed, "conditions": [condition]}
    user.client.patch(f"{user.path('HelmRelease', name)}/status", {"status": status})


def test_its_status_wakes_dependents(registering: Start, user: User, state: State, worker: Worker) -> None:
    """And is what they read; a status that says the same again wakes nobody."""
    with registering(OWNED):
        release = user.create("HelmRelease", "db", **RELEASE, values={"password": "not for Redis"})
        ref = user.create("Kustomization", "app", dependsOn=[{"name": "db", "kind": "HelmRelease"}])
        worker.run(ref)
        report(user, "db", "True")
        until(lambda: not worker.idle(ref), message="the dependent is woken")
        assert f"dependency {release} changed" in worker.run(ref)
        found = reader(state, OWNED)(Ref.parse(release))
        assert found is not None
        assert (found[0]["metadata"]["generation"], found[1]["conditions"][0]["status"]) == (1, "True")
        assert b"not for Redis" not in (state.artifact(release) or b"")
        user.client.patch(f"{user.path('HelmRelease', 'db')}/status", {"status": {"failures": 1}})
        until(lambda: json.loads(state.artifact(release) or b"{}")["object"]["status"].get("failures") == 1)
        assert worker.idle(ref)
        user.delete(release)
        until(lambda: reader(state, OWNED)(Ref.parse(release)) is None, message="it is gone")


def test_one_of_the_own_kind_by_default(registering: Start, user: User, state: State, worker: Worker) -> None:
    """Without `kind` a HelmRelease of that name is nobody's dependency."""
    with registering(OWNED):
        ref = user.create("Kustomization", "plain", dependsOn=[{"name": "db"}])
        worker.run(ref)
        release = user.create("HelmRelease", "db", **RELEASE)
        report(user, "db", "True")
        until(lambda: state.artifact(release) and not state.untold(), message="it is known")
        assert worker.idle(ref)
    user.delete(release)


def test_without_an_applier_of_ours_nobody_watches(registering: Start, user: User, state: State) -> None:
    """Sources alone depend on no applier."""
    release = user.create("HelmRelease", "db", **RELEASE)
    with registering(("GitRepository",)):
        other = user.create("ExternalArtifact", "x")
        user.offer(other, "latest@sha256:11")
        until(lambda: state.artifact(other), message="foreign kinds were listed")
        assert state.artifact(release) is None
    user.delete(release)
    user.delete(other)
