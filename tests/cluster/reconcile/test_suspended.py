"""A run of a suspended Kustomization touches nothing but its status, whatever its spec says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.deployed import Deployed

pytestmark = pytest.mark.cluster

EMPTY = {"a/README.md": "nothing"}


@pytest.mark.parametrize(
    "spec",
    [
        {"ignore": [{"paths": ["no pointer"]}]},
        {"healthCheckExprs": [{"apiVersion": "v1", "kind": "ConfigMap", "current": "((("}]},
        {"timeout": "never"},
        {"kubeConfig": {"secretRef": {"name": "nowhere"}}},
    ],
)
def test_what_a_run_would_refuse_is_not_looked_at(deployed: Deployed, spec: dict[str, Any]) -> None:
    """Its conditions, inventory and history stay, nothing is told, and it is not due again; resuming tells at once."""
    deployed.publish("main@sha1:1", EMPTY)
    deployed.put("a")
    deployed.settle()
    before = deployed.status("a")
    deployed.forget()
    deployed.edit("a", suspend=True, **spec)
    token = deployed.request("a")
    assert deployed.run_due() == {"a": "generation 2, requested"}
    assert deployed.status("a") == {**before, "observedGeneration": 2, "lastHandledReconcileAt": token}
    assert deployed.events() == []
    assert deployed.state.inspect(deployed.ref("a")).due is None  # type: ignore[union-attr]
    deployed.edit("a", suspend=False)
    assert deployed.run_due() == {"a": "generation 3"}
    assert deployed.condition("a")["status"] != "True"


def test_the_end_of_a_run_that_was_at_work_is_not_lost(deployed: Deployed) -> None:
    """The first run ends after the suspension: what it found is kept, and then counts for the new generation."""
    deployed.publish("main@sha1:1", EMPTY)
    deployed.put("a")
    (run,) = deployed.claim().runs
    published = deployed.state.artifact
    deployed.state.artifact = lambda source: (deployed.edit("a", suspend=True), published(source))[1]  # type: ignore[method-assign]
    deployed.run(run)
    deployed.state.artifact = published  # type: ignore[method-assign]
    assert (deployed.status("a")["observedGeneration"], deployed.condition("a")["status"]) == (1, "True")
    assert deployed.run_due() == {"a": "generation 2"}
    assert (deployed.status("a")["observedGeneration"], deployed.condition("a")["status"]) == (2, "True")
    assert deployed.run_due() == {}
