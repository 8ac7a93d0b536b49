"""What a Kustomization tells before anything of it was applied, and at its end: as kustomize-controller 1.9 does."""

from __future__ import annotations

import json

import pytest

from tests.support.deployed import Deployed

pytestmark = pytest.mark.cluster

REVISION = "main@sha1:1"


def _files(deployed: Deployed, namespace: str | None = None) -> dict[str, str]:
    meta = {"name": "a", "namespace": namespace or deployed.namespace}
    return {"a/a.yaml": json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"k": "1"}})}


def test_a_missing_source_is_a_condition_and_no_event(deployed: Deployed) -> None:
    """Whoever is alerted by events hears of it from the source, once, and not from every consumer."""
    deployed.put("a", sourceRef={"kind": "GitRepository", "name": "nowhere"})
    deployed.run_due()
    ready = deployed.condition("a")
    assert (ready["status"], ready["reason"]) == ("False", "ArtifactFailed")
    assert deployed.events() == []


def test_a_first_apply_that_fails_leaves_no_inventory(deployed: Deployed) -> None:
    """An inventory, empty or not, says that something was applied."""
    deployed.publish(REVISION, _files(deployed, "nowhere"))
    deployed.put("a")
    deployed.run_due()
    assert deployed.condition("a")["reason"] == "ReconciliationFailed"
    assert "inventory" not in deployed.status("a")
    assert deployed.status("a")["lastAttemptedRevision"] == REVISION


def test_nothing_to_apply_is_an_empty_inventory(deployed: Deployed) -> None:
    """A success with no object says so."""
    deployed.publish(REVISION, {"a/readme.md": "nothing"})
    deployed.put("a")
    deployed.run_due()
    assert deployed.condition("a")["status"] == "True"
    assert deployed.status("a")["inventory"] == {"entries": []}


def test_an_expression_that_does_not_compile_attempts_nothing(deployed: Deployed) -> None:
    """The revision was not tried."""
    deployed.publish(REVISION, {**_files(deployed), "b/readme.md": "nothing"})
    deployed.put("b")
    deployed.put("a", dependsOn=[{"name": "b", "readyExpr": "dep.("}])
    deployed.run_due()
    assert deployed.condition("a", "Stalled")["reason"] == "InvalidCELExpression"
    assert "lastAttemptedRevision" not in deployed.status("a")


def test_deletions_at_the_end_name_the_revision(deployed: Deployed) -> None:
    """The event carries the revision that had been applied."""
    deployed.publish(REVISION, _files(deployed))
    deployed.put("a")
    deployed.settle()
    deployed.delete("a")
    deployed.run_due()
    (event,) = [event for event in deployed.events() if event["message"].endswith(" deleted")]
    assert event["metadata"] == {"kustomize.toolkit.fluxcd.io/revision": REVISION}
