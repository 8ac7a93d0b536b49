"""Readiness of the built-in kinds whose status says more than a Ready condition. Pure functions, one per kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from fleetbeat.kube.readiness import (
    Health,
    Object,
    conditions_of,
    current,
    failed,
    in_progress,
    is_true,
    message_of,
    status_of,
)

NO_DEADLINE = 2**31 - 1
"""As `progressDeadlineSeconds` the deployment controller takes it for none."""
UNSCHEDULABLE_AFTER = 15.0
"""Seconds that a Pod may be unschedulable before that counts as a failure."""


def _spec(obj: Object) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def _count(part: Mapping[str, Any], name: str, default: int = 0) -> int:
    value = part.get(name)
    return value if isinstance(value, int) else default


def deployment(obj: Object) -> Health:
    """Updated, ready and available replicas are as specified, none is left over, and it says Available."""
    status, conditions = status_of(obj), conditions_of(obj)
    progressing = conditions.get("Progressing", {})
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return failed(f"progress deadline exceeded: {message_of(progressing)}")
    if "observedGeneration" not in status:
        return in_progress("not observed yet")
    wanted = _count(_spec(obj), "replicas", 1)
    total, updated = _count(status, "replicas"), _count(status, "updatedReplicas")
    ready, available = _count(status, "readyReplicas"), _count(status, "availableReplicas")
    if total < wanted:
        return in_progress(f"replicas: {total}/{wanted}")
    if updated < wanted:
        return in_progress(f"updated: {updated}/{wanted}")
    if total > wanted:
        return in_progress(f"pending termination: {total - wanted}")
    if available < updated:
        return in_progress(f"available: {available}/{updated}")
    if ready < wanted:
        return in_progress(f"ready: {ready}/{wanted}")
    if not _rolled_out(_spec(obj), progressing, wanted):
        return in_progress("the new replica set is not available yet")
    return current() if is_true(conditions, "Available") else in_progress("not available yet")


def _rolled_out(spec: Mapping[str, Any], progressing: Mapping[str, Any], wanted: int) -> bool:
    """With a progress deadline (an API server sets one) the controller says when the new replica set is complete.

    Without replicas there is nothing to wait for, sooner than kstatus says so.
    """
    if wanted == 0 or _count(spec, "progressDeadlineSeconds", NO_DEADLINE) == NO_DEADLINE:
        return True
    return progressing.get("status") == "True" and progressing.get("reason") == "NewReplicaSetAvailable"


def stateful_set(obj: Object) -> Health:
    """Replicas are ready and updated; a partition (an API server sets 0) asks for fewer, OnDelete for none."""
    spec, status = _spec(obj), status_of(obj)
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return current("OnDelete: updated by hand")
    if "observedGeneration" not in status:
        return in_progress("not observed yet")
    wanted = _count(spec, "replicas", 1)
    total, ready = _count(status, "replicas"), _count(status, "readyReplicas")
    updated = _count(status, "updatedReplicas")
    if total < wanted:
        return in_progress(f"replicas: {total}/{wanted}")
    if ready < wanted:
        return in_progress(f"ready: {ready}/{wanted}")
    if total > wanted:
        return in_progress(f"pending termination: {total - wanted}")
    partition = (strategy.get("rollingUpdate") or {}).get("partition")
    if isinstance(partition, int):
        due = max(wanted - partition, 0)
        return current("partition rollout complete") if updated >= due else in_progress(f"updated: {updated}/{due}")
    if _count(status, "currentReplicas") < wanted:
        return in_progress(f"current: {_count(status, 'currentReplicas')}/{wanted}")
    if status.get("currentRevision") != status.get("updateRevision"):
        return in_progress("the updated revision is not the current one yet")
    return current()


def daemon_set(obj: Object) -> Health:
    """Scheduled, updated, available and ready everywhere it should run."""
    status = status_of(obj)
    if "observedGeneration" not in status:
        return in_progress("not observed yet")
    wanted = _count(status, "desiredNumberScheduled", -1)
    if wanted < 0:
        return in_progress("desiredNumberScheduled is not known yet")
    fields = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady")
    for field in fields:
        if _count(status, field) < wanted:
            return in_progress(f"{field}: {_count(status, field)}/{wanted}")
    return current()


def replica_set(obj: Object) -> Health:
    """Labelled, available and ready replicas are as specified."""
    status = status_of(obj)
    if "observedGeneration" not in status:
        return in_progress("not observed yet")
    if is_true(conditions_of(obj), "ReplicaFailure"):
        return in_progress(message_of(conditions_of(obj)["ReplicaFailure"]))
    wanted = _count(_spec(obj), "replicas", 1)
    for field in ("fullyLabeledReplicas", "availableReplicas", "readyReplicas"):
        if _count(status, field) < wanted:
            return in_progress(f"{field}: {_count(status, field)}/{wanted}")
    left = _count(status, "replicas") - wanted
    return in_progress(f"pending termination: {left}") if left > 0 else current()


def pod(obj: Object) -> Health:
    """Ended, or running and ready. Crash loops and a lasting lack of a node are failures."""
    status, conditions = status_of(obj), conditions_of(obj)
    phase = status.get("phase")
    if phase in ("Succeeded", "Failed"):
        return current(f"phase {phase}")
    crashing = [c.get("name") for c in status.get("containerStatuses") or [] if _waits_for(c) == "CrashLoopBackOff"]
    if phase == "Running":
        if is_true(conditions, "Ready"):
            return current()
        return (
            failed(f"containers in CrashLoopBackOff: {', '.join(map(str, crashing))}")
            if crashing
            else in_progress("running, not ready")
        )
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        if _age(scheduled.get("lastTransitionTime")) > UNSCHEDULABLE_AFTER:
            return failed(f"cannot be scheduled: {message_of(scheduled)}")
        return in_progress("not scheduled yet")
    if crashing:
        return failed(f"containers in CrashLoopBackOff: {', '.join(map(str, crashing))}")
    return in_progress(f"phase {phase or 'unknown'}")


def _waits_for(container: Mapping[str, Any]) -> str:
    return str(((container.get("state") or {}).get("waiting") or {}).get("reason") or "")


def _age(timestamp: Any) -> float:
    """Seconds since an RFC 3339 time; 0 when it is unreadable."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(str(timestamp))).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def job(obj: Object) -> Health:
    """Complete, or suspended; a Failed condition is a failure."""
    conditions = conditions_of(obj)
    if is_true(conditions, "Failed"):
        return failed(message_of(conditions["Failed"]))
    if is_true(conditions, "Complete"):
        return current()
    if is_true(conditions, "Suspended") or _spec(obj).get("suspend"):
        return current("suspended")
    status = status_of(obj)
    return in_progress(f"running: {_count(status, 'active')} active, {_count(status, 'succeeded')} succeeded")


def custom_resource_definition(obj: Object) -> Health:
    """Established, under accepted names."""
    conditions = conditions_of(obj)
    names, established = conditions.get("NamesAccepted", {}), conditions.get("Established", {})
    if names.get("status") == "False":
        return failed(f"names not accepted: {message_of(names)}")
    if established.get("status") == "True":
        return current()
    if established.get("status") == "False" and established.get("reason") != "Installing":
        return failed(message_of(established))
    return in_progress("not established yet")


def persistent_volume_claim(obj: Object) -> Health:
    """Bound."""
    phase = status_of(obj).get("phase")
    return current() if phase == "Bound" else in_progress(f"phase {phase or 'unknown'}")


def service(obj: Object) -> Health:
    """A load balancer has its cluster IP; other types are ready at once."""
    spec = _spec(obj)
    if spec.get("type") == "LoadBalancer" and not spec.get("clusterIP"):
        return in_progress("no cluster IP yet")
    return current()


def pod_disruption_budget(obj: Object) -> Health:
    """Its generation has been seen."""
    return current() if "observedGeneration" in status_of(obj) else in_progress("not observed yet")


def existing(obj: Object) -> Health:
    """Ready by existing."""
    return current()


RULES: Mapping[tuple[str, str], Callable[[Object], Health]] = {
    ("apps", "Deployment"): deployment,
    ("apps", "StatefulSet"): stateful_set,
    ("apps", "DaemonSet"): daemon_set,
    ("apps", "ReplicaSet"): replica_set,
    ("", "Pod"): pod,
    ("batch", "Job"): job,
    ("batch", "CronJob"): existing,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): custom_resource_definition,
    ("", "PersistentVolumeClaim"): persistent_volume_claim,
    ("", "Service"): service,
    ("", "ConfigMap"): existing,
    ("", "Secret"): existing,
    ("policy", "PodDisruptionBudget"): pod_disruption_budget,
}
"""By group and kind."""

WITHOUT_CONDITIONS = frozenset({existing})
"""Rules to which conditions and generations mean nothing."""
