"""kstatus' rules, kind by kind."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from fleetbeat.kube.readiness import Health, State, assess

pytestmark = pytest.mark.unit

CURRENT, IN_PROGRESS, FAILED = State.CURRENT, State.IN_PROGRESS, State.FAILED
API = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "PodDisruptionBudget": "policy/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "Widget": "example.test/v1",
}


def condition(kind: str, status: str = "True", reason: str = "", message: str = "", **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message, **more}


def health(kind: str, spec: dict[str, Any] | None = None, generation: int = 1, **status: Any) -> Health:
    obj: dict[str, Any] = {"apiVersion": API.get(kind, "v1"), "kind": kind, "spec": spec or {}}
    obj["metadata"] = {"name": "x", "generation": generation}
    return assess({**obj, "status": status} if status else obj)


AVAILABLE = [condition("Available"), condition("Progressing", reason="NewReplicaSetAvailable")]
THREE = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3, "observedGeneration": 1}
ON_NODES = dict.fromkeys(("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady"), 2)
AGES_AGO = "2020-01-01T00:00:00Z"
JUST_NOW = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()  # tests may start late


@pytest.mark.parametrize(
    ("status", "state", "message"),
    [
        ({**THREE, "conditions": AVAILABLE}, CURRENT, ""),
        ({}, IN_PROGRESS, "not observed yet"),
        ({**THREE, "replicas": 2}, IN_PROGRESS, "replicas: 2/3"),
        ({**THREE, "updatedReplicas": 1}, IN_PROGRESS, "updated: 1/3"),
        ({**THREE, "replicas": 4}, IN_PROGRESS, "pending termination: 1"),
        ({**THREE, "availableReplicas": 2}, IN_PROGRESS, "available: 2/3"),
        ({**THREE, "readyReplicas": 2}, IN_PROGRESS, "ready: 2/3"),
        (THREE, IN_PROGRESS, "the new replica set is not available yet"),
        ({**THREE, "conditions": [AVAILABLE[1]]}, IN_PROGRESS, "not available yet"),
        ({**THREE, "updatedReplicas": 4, "replicas": 4, "availableReplicas": 4}, IN_PROGRESS, "pending termination: 1"),
        (
            {**THREE, "conditions": [condition("Available"), condition("Progressing", reason="x")]},
            IN_PROGRESS,
            "the new",
        ),
        (
            {**THREE, "conditions": [condition("Progressing", "False", "ProgressDeadlineExceeded", "too slow")]},
            FAILED,
            "progress deadline exceeded: too slow",
        ),
        ({**THREE, "observedGeneration": 0, "conditions": AVAILABLE}, IN_PROGRESS, "generation 1 is not observed"),
    ],
)
def test_deployment(status: dict[str, Any], state: State, message: str) -> None:
    """Every count is as specified, and the roll-out says so."""
    found = health("Deployment", {"replicas": 3, "progressDeadlineSeconds": 600}, **status)
    assert found.state is state
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    ("spec", "conditions", "state"),
    [
        ({"replicas": 0, "progressDeadlineSeconds": 600}, [AVAILABLE[0]], CURRENT),
        ({"replicas": 0, "progressDeadlineSeconds": 600}, [], IN_PROGRESS),
        ({"replicas": 3}, [AVAILABLE[0]], CURRENT),
        ({"replicas": 3, "progressDeadlineSeconds": 2**31 - 1}, [AVAILABLE[0]], CURRENT),
        ({"replicas": 3, "progressDeadlineSeconds": 600}, [AVAILABLE[0]], IN_PROGRESS),
        (
            {"replicas": 3, "progressDeadlineSeconds": 600},
            [AVAILABLE[0], condition("Progressing", "False")],
            IN_PROGRESS,
        ),
        ({}, AVAILABLE, IN_PROGRESS),
    ],
)
def test_deployment_progress(spec: dict[str, Any], conditions: list[dict[str, str]], state: State) -> None:
    """What the controller says of the roll-out counts where there is a deadline and anything to roll out."""
    status = THREE if spec.get("replicas") else {"observedGeneration": 1}
    assert health("Deployment", spec, conditions=conditions, **status).state is state


def test_one_replica_is_wanted_where_none_is_named() -> None:
    """The controllers' default."""
    one = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 1}
    assert health("Deployment", {}, conditions=AVAILABLE, **one).state is CURRENT


SAME = {"currentRevision": "b", "updateRevision": "b", "observedGeneration": 1}
MOVED = {**SAME, "updateRevision": "c"}
BOTH = {"replicas": 2, "readyReplicas": 2}


def partition(number: int) -> dict[str, Any]:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}}


@pytest.mark.parametrize(
    ("spec", "status", "state"),
    [
        ({}, {**BOTH, "currentReplicas": 2, **SAME}, CURRENT),
        ({}, {**BOTH, **SAME}, IN_PROGRESS),
        ({}, {**BOTH, "currentReplicas": 2, **MOVED}, IN_PROGRESS),
        ({}, {"replicas": 1, "readyReplicas": 1, **SAME}, IN_PROGRESS),
        ({}, {"replicas": 2, "readyReplicas": 1, **SAME}, IN_PROGRESS),
        ({}, {"replicas": 3, "readyReplicas": 3, **SAME}, IN_PROGRESS),
        ({}, {**BOTH, "updatedReplicas": 1, **MOVED}, IN_PROGRESS),
        ({}, {**BOTH, "currentReplicas": 2, **SAME, "observedGeneration": 0}, IN_PROGRESS),
        ({}, {}, IN_PROGRESS),
        ({"replicas": 0}, {"observedGeneration": 1}, CURRENT),
        ({"updateStrategy": {"type": "OnDelete"}}, {"replicas": 0, "observedGeneration": 1}, CURRENT),
        (partition(0), {**BOTH, "updatedReplicas": 2, **SAME}, CURRENT),
        (partition(0), {**BOTH, "updatedReplicas": 1, **MOVED}, IN_PROGRESS),
        (partition(0), {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, **SAME}, IN_PROGRESS),
        (partition(1), {**BOTH, "updatedReplicas": 1, **MOVED}, CURRENT),
        (partition(1), {**BOTH, "updatedReplicas": 0, **MOVED}, IN_PROGRESS),
        (partition(3), {**BOTH, "updatedReplicas": 0, **MOVED}, CURRENT),
    ],
)
def test_stateful_set(spec: dict[str, Any], status: dict[str, Any], state: State) -> None:
    """Ready and updated; a partition asks for fewer, OnDelete for none."""
    assert health("StatefulSet", {"replicas": 2, **spec}, **status).state is state


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"observedGeneration": 1, "desiredNumberScheduled": 2, **ON_NODES}, CURRENT),
        ({"observedGeneration": 1, "desiredNumberScheduled": 0}, CURRENT),
        ({"observedGeneration": 1, "desiredNumberScheduled": 2, **ON_NODES, "numberReady": 1}, IN_PROGRESS),
        ({"observedGeneration": 1, "desiredNumberScheduled": 3, **ON_NODES}, IN_PROGRESS),
        *(
            ({"observedGeneration": 1, "desiredNumberScheduled": 2, **ON_NODES, field: 1}, IN_PROGRESS)
            for field in ON_NODES
        ),
        ({"observedGeneration": 0, "desiredNumberScheduled": 2, **ON_NODES}, IN_PROGRESS),
        ({"observedGeneration": 1}, IN_PROGRESS),
        ({}, IN_PROGRESS),
    ],
)
def test_daemon_set(status: dict[str, Any], state: State) -> None:
    """Everywhere it should run, it runs updated and ready."""
    assert health("DaemonSet", **status).state is state


FULL = {"observedGeneration": 1, "replicas": 1, "fullyLabeledReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (FULL, CURRENT),
        ({**FULL, "readyReplicas": 0}, IN_PROGRESS),
        ({**FULL, "availableReplicas": 0}, IN_PROGRESS),
        ({**FULL, "fullyLabeledReplicas": 0}, IN_PROGRESS),
        ({**FULL, "observedGeneration": 0}, IN_PROGRESS),
        ({**FULL, "conditions": [condition("ReplicaFailure", "False")]}, CURRENT),
        ({}, IN_PROGRESS),
        ({**FULL, "replicas": 2}, IN_PROGRESS),
        ({**FULL, "conditions": [condition("ReplicaFailure", message="quota")]}, IN_PROGRESS),
    ],
)
def test_replica_set(status: dict[str, Any], state: State) -> None:
    """A replica failure is not final: a quota may grow."""
    assert health("ReplicaSet", {"replicas": 1}, **status).state is state


CRASHING = [{"name": "main", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"phase": "Succeeded"}, CURRENT),
        ({"phase": "Failed"}, CURRENT),
        ({"phase": "Running", "conditions": [condition("Ready")]}, CURRENT),
        ({"phase": "Running", "conditions": [condition("Ready", "False")]}, IN_PROGRESS),
        ({"phase": "Running", "containerStatuses": CRASHING}, FAILED),
        ({"phase": "Pending", "containerStatuses": CRASHING}, FAILED),
        ({"phase": "Pending"}, IN_PROGRESS),
        (
            {
                "phase": "Pending",
                "conditions": [condition("PodScheduled", "False", "Unschedulable", lastTransitionTime=JUST_NOW)],
            },
            IN_PROGRESS,
        ),
        (
            {
                "phase": "Pending",
                "conditions": [condition("PodScheduled", "False", "Unschedulable", lastTransitionTime=AGES_AGO)],
            },
            FAILED,
        ),
        ({}, IN_PROGRESS),
    ],
)
def test_pod(status: dict[str, Any], state: State) -> None:
    """Crash loops and a lasting lack of a node are failures."""
    assert health("Pod", **status).state is state


@pytest.mark.parametrize(
    ("spec", "status", "state"),
    [
        ({}, {"conditions": [condition("Complete")]}, CURRENT),
        ({}, {"conditions": [condition("Failed", message="BackoffLimitExceeded")]}, FAILED),
        ({"suspend": True}, {}, CURRENT),
        ({}, {"conditions": [condition("Suspended")]}, CURRENT),
        ({}, {"active": 1}, IN_PROGRESS),
        ({}, {}, IN_PROGRESS),
    ],
)
def test_job(spec: dict[str, Any], status: dict[str, Any], state: State) -> None:
    """A job is ready when it is done, or meant to rest."""
    assert health("Job", spec, **status).state is state


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        ([condition("NamesAccepted"), condition("Established")], CURRENT),
        ([condition("NamesAccepted", "False", message="taken")], FAILED),
        ([condition("NamesAccepted"), condition("Established", "False", "Installing")], IN_PROGRESS),
        ([condition("NamesAccepted"), condition("Established", "False", "Broken")], FAILED),
        ([], IN_PROGRESS),
    ],
)
def test_custom_resource_definition(conditions: list[dict[str, str]], state: State) -> None:
    """Established under accepted names."""
    assert health("CustomResourceDefinition", conditions=conditions).state is state


@pytest.mark.parametrize(
    ("kind", "spec", "status", "state"),
    [
        ("PersistentVolumeClaim", {}, {"phase": "Bound"}, CURRENT),
        ("PersistentVolumeClaim", {}, {"phase": "Pending"}, IN_PROGRESS),
        ("Service", {"type": "ClusterIP"}, {}, CURRENT),
        ("Service", {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}, {}, CURRENT),
        ("Service", {"type": "LoadBalancer"}, {}, IN_PROGRESS),
        ("ConfigMap", {}, {}, CURRENT),
        ("CronJob", {}, {}, CURRENT),
        ("PodDisruptionBudget", {}, {}, IN_PROGRESS),
        ("PodDisruptionBudget", {}, {"observedGeneration": 1}, CURRENT),
        ("Widget", {}, {}, CURRENT),
        ("Widget", {}, {"conditions": [condition("Ready")]}, CURRENT),
        ("Widget", {}, {"conditions": [condition("Ready", "False", message="soon")]}, IN_PROGRESS),
        ("Widget", {}, {"conditions": [condition("Ready", "Unknown")]}, IN_PROGRESS),
        ("Widget", {}, {"conditions": [condition("Ready"), condition("Reconciling")]}, IN_PROGRESS),
        ("Widget", {}, {"conditions": [condition("Stalled", message="no way")]}, FAILED),
        ("Widget", {}, {"observedGeneration": 0, "conditions": [condition("Ready")]}, IN_PROGRESS),
        ("Widget", {}, {"observedGeneration": 1, "conditions": [condition("Ready")]}, CURRENT),
        ("Widget", {}, {"conditions": [condition("Ready"), condition("Reconciling", "False")]}, CURRENT),
        ("Widget", {}, {"conditions": [condition("Reconciling"), condition("Stalled")]}, IN_PROGRESS),
        ("Widget", {}, {"conditions": [condition("Available", "False")]}, CURRENT),
        ("Widget", {}, {"conditions": "nonsense"}, CURRENT),
        ("Secret", {}, {}, CURRENT),
        ("Service", {}, {}, CURRENT),
        ("Service", {"type": "ExternalName"}, {}, CURRENT),
        ("PersistentVolumeClaim", {}, {}, IN_PROGRESS),
        ("PodDisruptionBudget", {}, {"observedGeneration": 0}, IN_PROGRESS),
        ("Deployment", {}, {**THREE, "conditions": [*AVAILABLE, condition("Stalled")]}, FAILED),
    ],
)
def test_other_kinds(kind: str, spec: dict[str, Any], status: dict[str, Any], state: State) -> None:
    """Kinds with a small rule of their own, and everybody else's Ready condition."""
    assert health(kind, spec, **status).state is state


def test_gone_and_going() -> None:
    """Absent objects and those being deleted are neither ready nor failed."""
    assert assess(None).state is State.NOT_FOUND
    metadata = {"name": "x", "deletionTimestamp": AGES_AGO}
    assert assess({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}).state is State.TERMINATING
