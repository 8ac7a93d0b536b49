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


def test_no_ledger_is_looked_for(deployed: Deployed) -> None:
    """Saving the first one shows that there was none."""
    deployed.publish(REVISION, _files(deployed))
    deployed.put("a")
    stats = deployed.ctx.hub.stats
    stats.clear()
    deployed.run_due()
    assert deployed.condition("a")["status"] == "True"
    assert stats["GET", "configmaps"] == 0
    assert stats["POST", "configmaps"] == 1


def test_a_ledger_that_nobody_remembers_is_found(deployed: Deployed) -> None:
    """Neither status nor memo say that anything was applied: what was is pruned all the same, and nothing goes back."""
    more = {"a/b.yaml": _files(deployed)["a/a.yaml"].replace('"name": "a"', '"name": "b"')}
    deployed.publish(REVISION, {**_files(deployed), **more})
    deployed.put("a")
    deployed.run_due()
    older = deployed.state.artifact(f"GitRepository/{deployed.namespace}/repo")
    assert older is not None
    for revision, artifact in (("main@sha1:2", None), ("main@sha1:2", older)):
        for what in ("memo", "status"):
            deployed.state.command("HDEL", f"fb:{{{deployed.shard('a')}}}:{what}", deployed.ref("a"))
        if artifact is None:
            deployed.publish(revision, _files(deployed))
        else:
            deployed.state.command("HSET", "fb:artifacts", f"GitRepository/{deployed.namespace}/repo", artifact)
        ready = deployed.again("a")
        maps = deployed.client.list(f"/api/v1/namespaces/{deployed.namespace}/configmaps")["items"]
        assert [m["metadata"]["name"] for m in maps if m["metadata"]["name"] in "ab"] == ["a"]
    assert (ready["status"], ready["reason"]) == ("False", "ArtifactFailed")
    assert "is older than the applied main@sha1:2" in ready["message"]
