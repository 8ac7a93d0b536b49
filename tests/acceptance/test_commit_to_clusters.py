"""A commit becomes running objects on several clusters, and leaves again."""

from __future__ import annotations

import pytest
import yaml

from tests.support.fleet import Fleet, config_map

pytestmark = pytest.mark.acceptance

MAP = "/api/v1/namespaces/default/configmaps"


def test_a_commit_is_applied_on_two_clusters_and_ready_on_the_hub(fleet: Fleet) -> None:
    """Both Kustomizations end Ready at the commit, with inventory, history and owner labels as Flux writes them."""
    repo = fleet.repository("two", {"app/map.yaml": config_map("two", colour="blue")})
    fleet.kustomization("two-hub", "two", path="./app")
    fleet.kustomization("two-edge", "two", path="./app", edge=True)
    head = repo.head()
    for name, cluster in (("two-hub", fleet.hub), ("two-edge", fleet.edge)):
        status = fleet.wait_ready("Kustomization", name, head)["status"]
        assert status["lastAppliedRevision"] == f"main@sha1:{head}"
        assert status["inventory"]["entries"] == [{"id": "default_two__ConfigMap", "v": "v1"}]
        assert status["history"][0]["lastReconciledStatus"] == "ReconciliationSucceeded"
        live = cluster.api("GET", f"{MAP}/two")
        assert live["data"] == {"colour": "blue"}
        assert live["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] == name
        assert live["metadata"]["managedFields"][0]["manager"] == "kustomize-controller"


def test_a_new_commit_updates_and_prunes(fleet: Fleet) -> None:
    """What leaves Git leaves the cluster; what changes is changed."""
    repo = fleet.repository("prune", {"a.yaml": config_map("keep", v="1"), "b.yaml": config_map("drop", v="1")})
    fleet.kustomization("prune", "prune", edge=True)
    fleet.wait_ready("Kustomization", "prune", repo.head())
    head = fleet.push(repo, "prune", {"a.yaml": config_map("keep", v="2"), "b.yaml": None})
    fleet.wait_ready("Kustomization", "prune", head)
    names = {item["metadata"]["name"]: item for item in fleet.edge.api("GET", MAP)["items"]}
    assert names["keep"]["data"] == {"v": "2"}
    assert "drop" not in names


def test_deleting_a_kustomization_deletes_its_objects_then_itself(fleet: Fleet) -> None:
    """The finalizer holds the resource until the cluster is clean."""
    repo = fleet.repository("gone", {"a.yaml": config_map("gone")})
    fleet.kustomization("gone", "gone", edge=True)
    fleet.wait_ready("Kustomization", "gone", repo.head())
    fleet.delete("Kustomization", "gone")
    fleet.until(lambda: not _exists(fleet, "gone"), "Kustomization gone")
    assert "gone" not in {item["metadata"]["name"] for item in fleet.edge.api("GET", MAP)["items"]}


def test_deleting_a_suspended_kustomization_leaves_its_objects(fleet: Fleet) -> None:
    """Suspension is a promise not to touch anything."""
    repo = fleet.repository("stays", {"a.yaml": config_map("stays")})
    fleet.kustomization("stays", "stays", edge=True)
    fleet.wait_ready("Kustomization", "stays", repo.head())
    fleet.kustomization("stays", "stays", edge=True, suspend=True)
    fleet.delete("Kustomization", "stays")
    fleet.until(lambda: not _exists(fleet, "stays"), "Kustomization gone")
    assert fleet.edge.api("GET", f"{MAP}/stays")["metadata"]["name"] == "stays"


def test_a_request_is_acknowledged_as_the_flux_command_waits_for(fleet: Fleet) -> None:
    """`lastHandledReconcileAt` takes the annotation's token, and the object ends neither Reconciling nor Stalled."""
    repo = fleet.repository("asked", {"a.yaml": config_map("asked")})
    fleet.kustomization("asked", "asked")
    fleet.wait_ready("Kustomization", "asked", repo.head())
    asked = fleet.reconcile("Kustomization", "asked")
    types = {c["type"] for c in asked["status"]["conditions"]}
    assert types == {"Ready"}


def test_drift_is_reverted_and_told_with_field_and_manager(fleet: Fleet) -> None:
    """A hand edit is undone long before the interval ends, and the event names who did what."""
    repo = fleet.repository("drift", {"a.yaml": config_map("drift", colour="blue")})
    fleet.kustomization("drift", "drift", edge=True)
    fleet.wait_ready("Kustomization", "drift", repo.head())
    path = f"{MAP}/drift?fieldManager=kubectl-edit"
    fleet.edge.api("PATCH", path, {"data": {"colour": "red", "extra": "1"}}, "application/merge-patch+json")
    fleet.until(lambda: fleet.edge.api("GET", f"{MAP}/drift")["data"] == {"colour": "blue"}, "reverted")
    events = "/api/v1/namespaces/flux-system/events"

    def told() -> str:
        items = fleet.hub.api("GET", events)["items"]
        mine = [i for i in items if i["reason"] == "DriftCorrected" and i["involvedObject"]["name"] == "drift"]
        return mine[-1]["message"] if mine else ""

    message = fleet.until(told, "drift event")
    assert "colour" in message
    assert "kubectl-edit" in message


def _exists(fleet: Fleet, name: str) -> bool:
    items = fleet.hub.api("GET", "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations")["items"]
    return name in {item["metadata"]["name"] for item in items}


def test_expressions_say_what_is_healthy_and_what_is_ready(fleet: Fleet) -> None:
    """A health check on somebody else's object ends as its expression says, and a readyExpr lets the next one go."""
    fleet.repository("rules", {"one/cm.yaml": config_map("rules-one"), "two/cm.yaml": config_map("rules-two")})
    gate = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gate", "namespace": "default"}
    path = "/api/v1/namespaces/default/configmaps/gate"
    obj = yaml.safe_load(config_map("gate", phase="busy"))
    fleet.put(path, obj)
    rule = {"apiVersion": "v1", "kind": "ConfigMap", "inProgress": "data.phase == 'busy'", "current": "true"}
    fleet.kustomization("rules-one", "rules", path="./one", healthChecks=[gate], healthCheckExprs=[rule], timeout="2m")
    ready = "dep.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"
    fleet.kustomization("rules-two", "rules", path="./two", dependsOn=[{"name": "rules-one", "readyExpr": ready}])
    fleet.wait_failed("Kustomization", "rules-two", "DependencyNotReady")
    fleet.until(
        lambda: fleet.condition("Kustomization", "rules-one", "Healthy").get("status") == "Unknown",
        "rules-one waits for the gate",
    )
    fleet.put(path, {**obj, "data": {"phase": "done"}})
    fleet.wait_ready("Kustomization", "rules-one")
    fleet.wait_ready("Kustomization", "rules-two")
