"""A HelmRepository of type oci is nobody's to reconcile: it is neither registered nor given a finalizer."""

from __future__ import annotations

import json

import pytest

from fleetbeat.state import State
from tests.support.hub import Start, User, Worker, registered
from tests.support.wait import until

pytestmark = pytest.mark.cluster

FINALIZER = "finalizers.fluxcd.io"
REGISTRY = {"type": "oci", "url": "oci://registry.example.com/charts"}


def finalizers(user: User, ref: str) -> list[str]:
    """Of the live resource."""
    live = user.get(ref)
    assert live is not None
    found: list[str] = live["metadata"].get("finalizers", [])
    return found


def chart(user: User) -> str:
    """A HelmChart of the HelmRepository `charts`."""
    source = {"kind": "HelmRepository", "name": "charts"}
    return user.create("HelmChart", "app", interval="1h", chart="app", sourceRef=source)


def test_a_registry_is_left_alone_and_wakes_its_charts(
    registering: Start, user: User, state: State, worker: Worker
) -> None:
    """Its own changes are news for its charts only."""
    with registering():
        made = chart(user)
        assert worker.run(made) == "created"
        ref = user.create("HelmRepository", "charts", **REGISTRY)
        assert worker.run(made) == f"HelmRepository {user.namespace}/charts changed"
        user.patch(ref, spec={"url": "oci://registry.example.com/other"})
        assert worker.run(made) == f"HelmRepository {user.namespace}/charts changed"
        assert not registered(state, ref)
        assert finalizers(user, ref) == []
        user.delete(ref)
        until(lambda: user.get(ref) is None)


def test_a_repository_that_becomes_a_registry_is_released(
    registering: Start, reporting: Start, user: User, state: State, worker: Worker
) -> None:
    """After a last run it has no status and no finalizer, and is forgotten; back again it is one like any other."""
    with registering(), reporting():
        ref = user.create("HelmRepository", "charts", url="https://charts.example.com")
        worker.run(ref, status={"observedGeneration": 1, "url": "http://x"})
        until(lambda: ((user.get(ref) or {}).get("status") or {}).get("url"))
        user.patch(ref, spec=REGISTRY)
        worker.run(ref, status={"$released": True})
        until(lambda: not registered(state, ref))
        live = user.get(ref)
        assert live is not None
        assert (live.get("status") or {}, finalizers(user, ref)) == ({}, [])
        user.patch(ref, spec={"type": None, "url": "https://charts.example.com"})
        _, _, given = worker.claim(ref)
        assert json.loads(given.obj)["metadata"]["finalizers"] == [FINALIZER]
        assert given.status in (None, b"{}")
        user.patch(ref, metadata={"finalizers": []})
