"""What the `flux` command line needs from a hub, by its own wait rules and without its binary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from fleetbeat.api.kinds import KINDS
from tests.support.fleet import NAMESPACE, Fleet, config_map

pytestmark = pytest.mark.acceptance

MISSING_NAMESPACE = config_map("refused", namespace="nowhere")
_TIME = "2026-01-01T00:00:00Z"
_ISSUERS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "issuers.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"kind": "Issuer", "plural": "issuers"},
        "scope": "Cluster",
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


def test_reconcile_with_source_ends_current_and_ready(fleet: Fleet) -> None:
    """`flux reconcile ks X --with-source`: first the source, then the Kustomization, each acknowledged and Current."""
    repo = fleet.repository("reconcile", {"a.yaml": config_map("reconcile", v="1")})
    fleet.kustomization("reconcile", "reconcile")
    fleet.wait_ready("Kustomization", "reconcile", repo.head())
    head = repo.commit({"a.yaml": config_map("reconcile", v="2")}, "second")
    source = fleet.reconcile("GitRepository", "reconcile")
    assert _kstatus(source) == "Current"
    assert source["status"]["artifact"]["revision"] == f"main@sha1:{head}"
    applied = fleet.reconcile("Kustomization", "reconcile")
    assert _kstatus(applied) == "Current"
    assert _ready(applied)["status"] == "True"
    assert applied["status"]["lastAppliedRevision"] == f"main@sha1:{head}"


@pytest.mark.parametrize("kind", ["GitRepository", "Kustomization"])
def test_resume_ends_current_at_the_new_generation(fleet: Fleet, kind: str) -> None:
    """`flux suspend` keeps the conditions; `flux resume` waits for Ready at the generation that it made."""
    name = f"resume-{kind.lower()}"
    repo = fleet.repository(name, {"a.yaml": config_map(name)})
    fleet.kustomization(name, name)
    fleet.wait_ready("Kustomization", name, repo.head())
    before = _ready(fleet.get(kind, name))
    _suspend(fleet, kind, name, True)
    suspended = fleet.until(lambda: _observed(fleet.get(kind, name)), "the suspension was seen")
    assert _kstatus(suspended) == "Current"
    assert {**_ready(suspended), "observedGeneration": 0} == {**before, "observedGeneration": 0}
    generation = _suspend(fleet, kind, name, False)

    def resumed() -> dict[str, Any] | None:
        found = fleet.get(kind, name)
        return found if _ready(found).get("observedGeneration") == generation else None

    assert _kstatus(fleet.until(resumed, "resumed")) == "Current"


def test_a_failing_object_stays_in_progress(fleet: Fleet) -> None:
    """A try that failed is acknowledged; the command waits on because the next one may succeed."""
    fleet.repository("failing", {"a.yaml": config_map("failing")})
    fleet.kustomization("failing", "failing", path="./nowhere")
    fleet.wait_failed("Kustomization", "failing", "ArtifactFailed")
    found = fleet.reconcile("Kustomization", "failing")
    assert _kstatus(found) == "InProgress"
    assert _ready(found)["status"] == "False"


def test_a_terminal_failure_ends_the_wait(fleet: Fleet) -> None:
    """What only a person can mend is Failed at once, with the reason as the message."""
    fleet.source("terminal", "http://127.0.0.1/terminal?with=query")
    fleet.wait_failed("GitRepository", "terminal", "URLInvalid")
    found = fleet.reconcile("GitRepository", "terminal")
    assert _kstatus(found) == "Failed"
    assert _ready(found)["message"]


def test_the_inventory_names_no_object_that_was_never_written(fleet: Fleet) -> None:
    """`flux tree` reads every inventoried object: after a refused apply only the earlier ones are in it."""
    repo = fleet.repository("refused", {"a.yaml": config_map("before")})
    fleet.kustomization("refused", "refused", wait=False)
    fleet.wait_ready("Kustomization", "refused", repo.head())
    fleet.push(repo, "refused", {"b.yaml": config_map("never"), "c.yaml": MISSING_NAMESPACE})
    fleet.wait_failed("Kustomization", "refused", "ReconciliationFailed")
    entries = fleet.get("Kustomization", "refused")["status"]["inventory"]["entries"]
    assert entries == [{"id": "default_before__ConfigMap", "v": "v1"}]


def _tells_of(fleet: Fleet, path: str, kind: str) -> bool:
    return any(resource["kind"] == kind for resource in fleet.hub.api("GET", path)["resources"])


def test_the_inventory_names_a_cluster_scoped_object_once(fleet: Fleet) -> None:
    """kustomize gives a namespace to every kind it does not know; the inventory has the id that the cluster knows."""
    fleet.put(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{_ISSUERS['metadata']['name']}", _ISSUERS)
    served = "/apis/example.com/v1"
    fleet.until(lambda: _tells_of(fleet, served, "Issuer"), "the new kind is served")
    repo = fleet.repository("scoped", {"a.yaml": yaml.safe_dump(_named("example.com/v1", "Issuer", "one"))})
    fleet.kustomization("scoped", "scoped", targetNamespace="default")
    status = fleet.wait_ready("Kustomization", "scoped", repo.head())["status"]
    assert status["inventory"]["entries"] == [{"id": "_one_example.com_Issuer", "v": "v1"}]


def test_a_health_wait_ends_in_history_and_inventory(fleet: Fleet) -> None:
    """While objects are in progress the history has no entry; when they are healthy it has one, for the success."""
    release = _named("helm.toolkit.fluxcd.io/v2", "HelmRelease", "slow", namespace="default")
    release["spec"] = {"interval": "1h", "chartRef": {"kind": "OCIRepository", "name": "slow"}}
    repo = fleet.repository("slow", {"a.yaml": yaml.safe_dump(release)})
    fleet.kustomization("slow", "slow", wait=True)
    fleet.until(lambda: fleet.condition("Kustomization", "slow", "Healthy").get("status") == "Unknown", "it waits")
    waiting = fleet.get("Kustomization", "slow")
    assert _kstatus(waiting) == "InProgress"
    assert not waiting["status"].get("history")
    done = {"type": "Ready", "status": "True", "reason": "Done", "message": "", "lastTransitionTime": _TIME}
    path = KINDS["HelmRelease"].path("default", "slow", "status")
    status = {"status": {"observedGeneration": 1, "conditions": [done]}}
    fleet.hub.api("PATCH", path, status, "application/merge-patch+json")
    ready = fleet.wait_ready("Kustomization", "slow", repo.head())["status"]
    assert [entry["lastReconciledStatus"] for entry in ready["history"]] == ["ReconciliationSucceeded"]
    assert ready["inventory"]["entries"] == [{"id": "default_slow_helm.toolkit.fluxcd.io_HelmRelease", "v": "v2"}]


def test_waiting_for_a_dependency_is_no_warning(fleet: Fleet) -> None:
    """A dependency that is not ready is told as information, so that alerts of severity error stay silent."""
    fleet.repository("waits", {"a.yaml": config_map("waits")})
    fleet.kustomization("waits", "waits", dependsOn=[{"name": "absent"}])
    event = fleet.until(lambda: _event(fleet, "waits", "DependencyNotReady"), "event")
    assert event["type"] == "Normal"


def test_success_is_told_with_the_keys_that_notifications_read(fleet: Fleet) -> None:
    """Revision and commit status are annotations of the event, under the kind's group."""
    repo = fleet.repository("told", {"a.yaml": config_map("told")})
    fleet.kustomization("told", "told")
    event = fleet.until(lambda: _event(fleet, "told", "ReconciliationSucceeded"), "event")
    assert event["metadata"]["annotations"] == {
        "kustomize.toolkit.fluxcd.io/revision": f"main@sha1:{repo.head()}",
        "kustomize.toolkit.fluxcd.io/commit_status": "update",
    }
    assert event["source"]["component"] == "kustomize-controller"


def _named(api_version: str, kind: str, name: str, **meta: str) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **meta}}


def _suspend(fleet: Fleet, kind: str, name: str, suspend: bool) -> int:
    """Returns the generation that the patch made."""
    path = KINDS[kind].path(NAMESPACE, name)
    patched = fleet.hub.api("PATCH", path, {"spec": {"suspend": suspend}}, "application/merge-patch+json")
    return int(patched["metadata"]["generation"])


def _observed(obj: dict[str, Any]) -> dict[str, Any] | None:
    return obj if obj["status"].get("observedGeneration") == obj["metadata"]["generation"] else None


def _ready(obj: dict[str, Any]) -> dict[str, Any]:
    return _condition(obj, "Ready")


def _condition(obj: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((c for c in obj["status"].get("conditions") or [] if c["type"] == kind), {})


def _kstatus(obj: dict[str, Any]) -> str:
    """kstatus' rules for custom resources, in their order."""
    rules: list[tuple[str, Callable[[], bool]]] = [
        ("InProgress", lambda: obj["status"].get("observedGeneration") != obj["metadata"]["generation"]),
        ("InProgress", lambda: _condition(obj, "Reconciling").get("status") == "True"),
        ("Failed", lambda: _condition(obj, "Stalled").get("status") == "True"),
        ("InProgress", lambda: _ready(obj).get("status") != "True"),
    ]
    return next((result for result, applies in rules if applies()), "Current")


def _event(fleet: Fleet, name: str, reason: str) -> dict[str, Any] | None:
    """As `flux events --for Kustomization/<name>` selects it."""
    selector = f"involvedObject.kind=Kustomization,involvedObject.name={name},reason={reason}"
    path = f"/api/v1/namespaces/{NAMESPACE}/events?fieldSelector={selector}"
    items: list[dict[str, Any]] = fleet.hub.api("GET", path)["items"]
    return items[0] if items else None
