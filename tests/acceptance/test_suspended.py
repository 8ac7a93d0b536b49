"""What a suspended resource tells: that this was seen, and that a request was; nothing is done for it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.support.fleet import NAMESPACE, Fleet, config_map

pytestmark = pytest.mark.acceptance

KINDS = ("GitRepository", "Kustomization")
QUIET = 5.0
"""Seconds in which anything that a suspended resource should not do would have been done."""


def _suspend(fleet: Fleet, name: str) -> None:
    for kind in KINDS:
        fleet.change(kind, name, suspend=True)


def _seen(fleet: Fleet, kind: str, name: str) -> dict[str, Any]:
    """The resource once its status is of its latest generation."""

    def current() -> dict[str, Any] | None:
        found = fleet.get(kind, name)
        return found if found["status"]["observedGeneration"] == found["metadata"]["generation"] else None

    return fleet.until(current, f"{kind}/{name} is observed", 20, lambda: str(fleet.get(kind, name)["status"]))


def _rest(status: dict[str, Any]) -> dict[str, Any]:
    """All of a status that suspending and asking should leave as it was."""
    conditions = [{k: v for k, v in c.items() if k != "observedGeneration"} for c in status["conditions"]]
    moving = ("conditions", "observedGeneration", "lastHandledReconcileAt")
    return {"conditions": conditions, **{key: value for key, value in status.items() if key not in moving}}


def _statuses(fleet: Fleet, name: str) -> list[dict[str, Any]]:
    return [fleet.get(kind, name)["status"] for kind in KINDS]


def _events(fleet: Fleet, name: str) -> dict[str, int]:
    """Reason → how often it was told."""
    items = fleet.hub.api("GET", f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
    return Counter(e["reason"] for e in items for _ in range(e["count"]) if e["involvedObject"]["name"] == name)


def _unchanged(look: Callable[[], object]) -> None:
    before = look()
    time.sleep(QUIET)
    assert look() == before


def test_what_is_ready_moves_on_and_stays_as_it_is(fleet: Fleet) -> None:
    """Suspended, changed and requested with a new commit upstream: told each time, not fetched, not applied."""
    repo = fleet.repository("rests", {"a.yaml": config_map("rests", v="1")}, interval="2s")
    fleet.kustomization("rests", "rests", interval="2s")
    fleet.wait_ready("Kustomization", "rests", repo.head())
    told = {"NewArtifact": 1, "Progressing": 1, "ReconciliationSucceeded": 1}
    fleet.until(
        lambda: _events(fleet, "rests") == told, "the first runs are told", 20, lambda: str(_events(fleet, "rests"))
    )
    before = _statuses(fleet, "rests")
    _suspend(fleet, "rests")
    for kind in KINDS:
        _seen(fleet, kind, "rests")
    head = repo.commit({"a.yaml": config_map("rests", v="2")}, "second")
    for kind in KINDS:
        assert fleet.reconcile(kind, "rests", timeout=20)["status"]["observedGeneration"] == 2
        fleet.change(kind, "rests", timeout="33s")
        _seen(fleet, kind, "rests")
    assert [_rest(status) for status in _statuses(fleet, "rests")] == [_rest(status) for status in before]
    _unchanged(lambda: (_statuses(fleet, "rests"), _events(fleet, "rests")))
    assert _events(fleet, "rests") == told
    for kind in KINDS:
        fleet.change(kind, "rests", suspend=False)
    fleet.wait_ready("Kustomization", "rests", head)


def test_what_is_not_ready_is_no_further_than_with_flux(fleet: Fleet) -> None:
    """A source is observed all the same; a Kustomization is not until it is resumed; requests are answered by both."""
    fleet.source("fails", "http://127.0.0.1:9/none")
    fleet.kustomization("fails", "fails")
    fleet.wait_failed("GitRepository", "fails", "GitOperationFailed")
    fleet.wait_failed("Kustomization", "fails", "ArtifactFailed")
    _suspend(fleet, "fails")
    for kind in KINDS:
        fleet.reconcile(kind, "fails", timeout=20)
    source = _seen(fleet, "GitRepository", "fails")
    ready = next(c for c in source["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"], ready["observedGeneration"]) == ("False", "GitOperationFailed", 2)
    assert fleet.get("Kustomization", "fails")["status"]["observedGeneration"] == -1
    _unchanged(lambda: (_statuses(fleet, "fails"), _events(fleet, "fails")))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_never_reconciled_has_only_its_request(fleet: Fleet, kind: str) -> None:
    """It was suspended from the start."""
    name = f"born-{kind.lower()}"
    if kind == "GitRepository":
        fleet.source(name, "http://127.0.0.1:9/none", suspend=True)
    else:
        fleet.kustomization(name, "nowhere", suspend=True)
    found = fleet.reconcile(kind, name, timeout=20)
    assert found["status"] == {
        "observedGeneration": -1,
        "lastHandledReconcileAt": found["status"]["lastHandledReconcileAt"],
    }


def test_a_parent_that_waits_finds_what_was_ready_ready(fleet: Fleet) -> None:
    """By the status alone, as `kstatus` reads it: the suspended child lies in the way of no look at its parent."""
    fleet.repository("child", {"a.yaml": config_map("child")})
    child = {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "child", "namespace": NAMESPACE},
        "spec": {"interval": "10m", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "child"}},
    }
    fleet.repository("parent", {"child.yaml": yaml.safe_dump(child)})
    fleet.kustomization("parent", "parent", wait=True, timeout="20s")
    fleet.wait_ready("Kustomization", "parent")
    fleet.change("Kustomization", "child", suspend=True)
    told = fleet.reconcile("Kustomization", "parent", timeout=30)
    ready = next(c for c in told["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "ReconciliationSucceeded"), ready
    assert _seen(fleet, "Kustomization", "child")["spec"]["suspend"] is True
    _unchanged(lambda: fleet.get("Kustomization", "parent")["status"])
