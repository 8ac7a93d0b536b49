"""kstatus' rules on objects as real controllers leave them: on their way, then ready, failed or for ever waiting."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.readiness import State, assess
from tests.support.wait import until
from tools.clusters import Cluster, ClusterSet

pytestmark = pytest.mark.cluster

Object = dict[str, Any]
LABELS = {"app": "x"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "main", "image": "example.com/none"}]}}
SELECTED: Object = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
ONCE: Object = {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}
UNFIT: Object = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "nodeSelector": {"there-is": "none"}}}
BUDGET: Object = {"selector": {"matchLabels": LABELS}, "minAvailable": 1}
DISK: Object = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
    "storageClassName": "none",
}
APPS = "/apis/apps/v1/namespaces/{}"
BATCH = "/apis/batch/v1/namespaces/{}"
CORE = "/api/v1/namespaces/{}"
POLICY = "/apis/policy/v1/namespaces/{}"


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """A cluster where pods become ready."""
    with ClusterSet("ready", pods=True) as found:
        yield found["ready"]


@pytest.fixture(scope="module")
def client(running: Cluster) -> Iterator[KubeClient]:
    """Its administrator."""
    opened = KubeClient(ClusterConfig.from_kubeconfig(running.kubeconfig, trusted=True))
    yield opened
    opened.close()


@pytest.fixture
def space(running: Cluster) -> str:
    """A fresh namespace of it."""
    name = f"ready-{uuid.uuid4().hex[:8]}"
    running.create_namespace(name)
    return name


def create(client: KubeClient, space: str, base: str, plural: str, kind: str, **fields: Any) -> str:
    """Make an object named x; returns its path."""
    where = f"{base.format(space)}/{plural}"
    group = base.split("/")[2:4] if base.startswith("/apis") else ["v1"]
    client.create(where, {"apiVersion": "/".join(group), "kind": kind, "metadata": {"name": "x"}, **fields})
    return f"{where}/x"


def becomes(client: KubeClient, path: str, state: State) -> None:
    until(lambda: assess(client.get(path)).state is state, timeout=90, message=f"{path} is {state.value}")


@pytest.mark.parametrize(
    ("base", "plural", "kind", "spec"),
    [
        (APPS, "deployments", "Deployment", {**SELECTED, "replicas": 2}),
        (APPS, "deployments", "Deployment", {**SELECTED, "replicas": 0}),
        (APPS, "statefulsets", "StatefulSet", {**SELECTED, "replicas": 2, "serviceName": "x"}),
        (APPS, "statefulsets", "StatefulSet", {**SELECTED, "replicas": 0, "serviceName": "x"}),
        (APPS, "daemonsets", "DaemonSet", SELECTED),
        (APPS, "replicasets", "ReplicaSet", {**SELECTED, "replicas": 2}),
        (CORE, "pods", "Pod", TEMPLATE["spec"]),
        (BATCH, "jobs", "Job", ONCE),
        (
            POLICY,
            "poddisruptionbudgets",
            "PodDisruptionBudget",
            {"selector": {"matchLabels": LABELS}, "minAvailable": 1},
        ),
    ],
)
def test_what_controllers_bring_up(
    client: KubeClient, space: str, base: str, plural: str, kind: str, spec: Object
) -> None:
    """Never ready as it is created; ready when its controller is through."""
    where = f"{base.format(space)}/{plural}"
    group = "/".join(base.split("/")[2:4]) if base.startswith("/apis") else "v1"
    made = client.create(where, {"apiVersion": group, "kind": kind, "metadata": {"name": "x"}, "spec": spec})
    assert assess(made).state is State.IN_PROGRESS
    becomes(client, f"{where}/x", State.CURRENT)


@pytest.mark.parametrize(
    ("base", "plural", "kind", "fields"),
    [
        (CORE, "configmaps", "ConfigMap", {}),
        (CORE, "secrets", "Secret", {}),
        (CORE, "services", "Service", {"spec": {"ports": [{"port": 80}]}}),
        (CORE, "services", "Service", {"spec": {"ports": [{"port": 80}], "type": "LoadBalancer"}}),
        (BATCH, "cronjobs", "CronJob", {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": ONCE}}}),
        (BATCH, "jobs", "Job", {"spec": {**ONCE, "suspend": True}}),
        (CORE, "serviceaccounts", "ServiceAccount", {}),
    ],
)
def test_what_is_ready_by_existing(
    client: KubeClient, space: str, base: str, plural: str, kind: str, fields: Object
) -> None:
    """At once."""
    path = create(client, space, base, plural, kind, **fields)
    assert assess(client.get(path)).state is State.CURRENT


def test_an_update_is_seen_before_its_controller_saw_it(client: KubeClient, space: str) -> None:
    """The status is still that of the old generation, and says ready; then it rolls out."""
    path = create(client, space, APPS, "deployments", "Deployment", spec={**SELECTED, "replicas": 1})
    becomes(client, path, State.CURRENT)
    change = {"spec": {"template": {"metadata": {"annotations": {"release": "two"}}}}}
    assert assess(client.patch(path, change)).state is State.IN_PROGRESS
    becomes(client, path, State.CURRENT)


def test_a_deadline_that_passes_is_a_failure(client: KubeClient, space: str) -> None:
    """No node fits."""
    spec = {**SELECTED, "template": UNFIT, "replicas": 1, "progressDeadlineSeconds": 1}
    path = create(client, space, APPS, "deployments", "Deployment", spec=spec)
    becomes(client, path, State.FAILED)
    assert "progress deadline exceeded" in assess(client.get(path)).message


def test_a_pod_that_fits_nowhere_is_a_failure(client: KubeClient, space: str) -> None:
    """After a quarter of a minute, not at once."""
    path = create(client, space, CORE, "pods", "Pod", spec=UNFIT["spec"])

    def unschedulable() -> bool:
        conditions = client.get(path).get("status", {}).get("conditions") or []
        return any(c["type"] == "PodScheduled" and c.get("reason") == "Unschedulable" for c in conditions)

    until(unschedulable, timeout=60, message="the scheduler has looked")
    assert assess(client.get(path)).state is State.IN_PROGRESS
    becomes(client, path, State.FAILED)


def test_a_job_that_fails(client: KubeClient, space: str) -> None:
    """Its deadline passes before its pod could run."""
    spec = {"template": {"spec": {**UNFIT["spec"], "restartPolicy": "Never"}}, "activeDeadlineSeconds": 1}
    becomes(client, create(client, space, BATCH, "jobs", "Job", spec=spec), State.FAILED)


def test_a_stateful_set_that_is_updated_by_hand(client: KubeClient, space: str) -> None:
    """`OnDelete` is nothing to wait for."""
    spec = {**SELECTED, "replicas": 1, "serviceName": "x", "updateStrategy": {"type": "OnDelete"}}
    path = create(client, space, APPS, "statefulsets", "StatefulSet", spec=spec)
    becomes(client, path, State.CURRENT)


def test_a_claim_waits_for_a_volume(client: KubeClient, space: str) -> None:
    """Bound is what counts."""
    path = create(client, space, CORE, "persistentvolumeclaims", "PersistentVolumeClaim", spec=DISK)
    assert assess(client.get(path)).state is State.IN_PROGRESS
    client.patch(f"{path}/status", {"status": {"phase": "Bound"}})
    assert assess(client.get(path)).state is State.CURRENT


def test_a_definition_is_established_or_not_accepted(client: KubeClient) -> None:
    """Two definitions cannot have the same names in one group."""
    group = f"g{uuid.uuid4().hex[:8]}.test"
    base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    def definition(plural: str) -> Object:
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"kind": "Thing", "listKind": "ThingList", "plural": plural, "singular": plural.rstrip("s")}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
        }

    client.create(base, definition("things"))
    becomes(client, f"{base}/things.{group}", State.CURRENT)
    client.create(base, definition("others"))
    becomes(client, f"{base}/others.{group}", State.FAILED)


def test_an_object_that_is_held_in_its_deletion(client: KubeClient, space: str) -> None:
    """Neither ready nor failed."""
    path = create(client, space, CORE, "configmaps", "ConfigMap")
    client.patch(path, {"metadata": {"finalizers": ["kube.test/hold"]}})
    client.delete(path)
    assert assess(client.get(path)).state is State.TERMINATING
    client.patch(path, {"metadata": {"finalizers": None}})
