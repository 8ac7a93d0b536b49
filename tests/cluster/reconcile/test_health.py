"""Waiting for health on a real API server: a state of the resource, which holds no worker and ends by what happens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.deployed import Deployed
from tests.support.wait import until

pytestmark = pytest.mark.cluster

CLAIM_SPEC = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
    "storageClassName": "none",
}
BOUND = {"status": {"phase": "Bound"}}
POD = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example.com/none"}]}


def file(deployed: Deployed, folder: str, kind: str, name: str, spec: dict[str, Any], **more: Any) -> dict[str, str]:
    """One object in a folder; `more` are further fields of its metadata."""
    version = {"Job": "batch/v1", "Deployment": "apps/v1"}.get(kind, "v1")
    meta = {"name": name, "namespace": deployed.namespace, **more}
    obj = {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}
    return {f"{folder}/{name}.yaml": json.dumps(obj)}


def disk(deployed: Deployed, folder: str = "a", name: str = "disk", **metadata: Any) -> dict[str, str]:
    """A PersistentVolumeClaim: nothing binds it here but the test."""
    return file(deployed, folder, "PersistentVolumeClaim", name, CLAIM_SPEC, **metadata)


def job(deployed: Deployed, name: str = "job", **spec: Any) -> dict[str, str]:
    """A Job; its pods are never scheduled."""
    return file(deployed, "a", "Job", name, {"template": {"spec": POD}, **spec})


def path(deployed: Deployed, plural: str, name: str) -> str:
    group = "/apis/batch/v1" if plural == "jobs" else "/api/v1"
    return f"{group}/namespaces/{deployed.namespace}/{plural}/{name}"


def bind(deployed: Deployed, name: str = "disk") -> None:
    deployed.client.patch(f"{path(deployed, 'persistentvolumeclaims', name)}/status", BOUND)


def wait_of(deployed: Deployed, name: str = "a") -> dict[str, Any]:
    """The health wait that the next run would go on with."""
    ref, shard = deployed.ref(name), deployed.shard(name)
    memo = json.loads(deployed.state.memos(shard, [ref])[ref] or b"{}")
    return dict(memo.get("health") or {})


def told(deployed: Deployed, reason: str) -> list[str]:
    return [event["message"] for event in deployed.events() if event["reason"] == reason]


def poke(deployed: Deployed, why: str, name: str = "a") -> dict[str, Any]:
    """A run or a look for this reason; returns the Ready condition after it."""
    deployed.state.poke([deployed.ref(name)], why, urgent=True)
    until(lambda: name in deployed.run_due(), message=why)
    return deployed.condition(name)


@pytest.fixture
def waiting(deployed: Deployed) -> Deployed:
    """A Kustomization that waits for a disk, and says so."""
    deployed.publish("main@sha1:1", disk(deployed))
    deployed.put("a", wait=True, timeout="10m")
    deployed.run_due()
    until(lambda: deployed.run_due() and "reason" in deployed.condition("a"), message="it says so")
    assert deployed.condition("a", "Healthy")["status"] == "Unknown"
    return deployed


def test_a_wait_ends_when_the_object_is_healthy(waiting: Deployed) -> None:
    """The look that follows the event reads what was awaited alone."""
    bind(waiting)
    stats = waiting.ctx.hub.stats
    stats.clear()
    ready = poke(waiting, "health: PersistentVolumeClaim changed")
    assert (ready["status"], ready["message"]) == ("True", "Applied revision: main@sha1:1")
    assert {key: count for key, count in stats.items() if key[0] != "GET"} == {}
    assert sum(stats.values()) == 1
    assert waiting.condition("a", "Healthy")["status"] == "True"
    assert [line for line in told(waiting, "Progressing") if line.startswith("Health check passed in ")]


def test_a_new_revision_ends_the_wait_for_the_old_one_at_once(waiting: Deployed) -> None:
    """It is due the moment that its source pokes it, and the new content is applied by that very run."""
    assert waiting.claim().runs == []
    waiting.publish("main@sha1:2", disk(waiting, labels={"release": "two"}))
    waiting.state.poke([waiting.ref("a")], f"GitRepository/{waiting.namespace}/repo main@sha1:2", urgent=True)
    (run,) = waiting.claim().runs
    waiting.run(run)
    live = waiting.client.get(path(waiting, "persistentvolumeclaims", "disk"))
    assert live["metadata"]["labels"]["release"] == "two"
    assert told(waiting, "HealthCheckCanceled") == [
        f"Health checks canceled due to new reconciliation triggered by GitRepository/{waiting.namespace}/repo"
    ]
    assert "main@sha1:2" in waiting.condition("a")["message"]
    assert waiting.status("a").get("history") is None
    bind(waiting)
    assert poke(waiting, "health: changed")["message"] == "Applied revision: main@sha1:2"


def test_a_change_of_the_spec_ends_the_wait_too(waiting: Deployed) -> None:
    """Without waiting for anything, when that is what the new spec says."""
    waiting.edit("a", wait=False)
    assert waiting.run_due() == {"a": "generation 2"}
    assert waiting.condition("a")["status"] == "True"
    assert waiting.condition("a", "Healthy")["status"] == "Unknown"
    (line,) = told(waiting, "HealthCheckCanceled")
    assert line.endswith(f"triggered by {waiting.ref('a')}")


def test_a_request_begins_the_wait_anew(waiting: Deployed) -> None:
    """Somebody asked for a whole run; looks after that go on with its wait, and its end answers the request."""
    before = wait_of(waiting)["since"]
    token = waiting.request("a")
    waiting.run_due()
    begun = wait_of(waiting)["since"]
    assert begun > before
    poke(waiting, "health: looked at again")
    poke(waiting, "drift: something")
    assert wait_of(waiting)["since"] == begun
    assert len(told(waiting, "HealthCheckCanceled")) == 1
    bind(waiting)
    poke(waiting, "health: changed")
    assert waiting.status("a")["lastHandledReconcileAt"] == token


def test_drift_corrected_during_a_wait_does_not_prolong_it(waiting: Deployed) -> None:
    """A whole run, after which the same wait goes on: whoever edits all the time cannot hold the timeout off."""
    before = wait_of(waiting)
    patch = {"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "other"}}}
    waiting.client.patch(
        path(waiting, "persistentvolumeclaims", "disk"), patch, params={"fieldManager": "kubectl-edit"}
    )
    poke(waiting, "drift: PersistentVolumeClaim changed")
    assert (wait_of(waiting)["since"], wait_of(waiting)["began"]) == (before["since"], before["began"])
    assert told(waiting, "HealthCheckCanceled") == []


def test_a_wait_has_a_limit(waiting: Deployed) -> None:
    """After `spec.timeout` the run fails, names what is missing, and is tried again after `retryInterval`."""
    ref, shard = waiting.ref("a"), waiting.shard("a")
    memo = json.loads(waiting.state.memos(shard, [ref])[ref] or b"{}")
    memo["health"]["since"] -= 601
    waiting.state.command("HSET", f"fb:{{{shard}}}:memo", ref, json.dumps(memo))
    poke(waiting, "health: looked at again")
    until(lambda: waiting.run_due(), message="a run of its own, which says so")
    ready = waiting.condition("a")
    assert (ready["status"], ready["reason"]) == ("False", "HealthCheckFailed")
    name = f"PersistentVolumeClaim/{waiting.namespace}/disk"
    assert f"timeout waiting for: [{name} status: 'InProgress': phase Pending]" in ready["message"]
    assert waiting.condition("a", "Healthy")["reason"] == "HealthCheckFailed"
    assert waiting.status("a")["history"][0]["lastReconciledStatus"] == "HealthCheckFailed"
    assert wait_of(waiting) == {}


def test_a_failed_object_ends_the_wait_early(deployed: Deployed) -> None:
    """The others are not waited for: what has failed stays failed."""
    deployed.publish("main@sha1:1", {**disk(deployed), **job(deployed, activeDeadlineSeconds=1)})
    deployed.put("a", wait=True, timeout="10m")
    deployed.run_due()

    def failed() -> bool:
        deployed.run_due()
        return deployed.condition("a")["status"] == "False"

    until(failed, message="the Job has failed")
    message = deployed.condition("a")["message"]
    assert f"failed early due to stalled resources: [Job/{deployed.namespace}/job status: 'Failed': " in message
    assert "PersistentVolumeClaim" not in message


def test_a_job_that_removes_itself_is_done(deployed: Deployed) -> None:
    """One without a TTL that is gone is missing, and drift. What is gone is made again at the interval, not at once."""
    deployed.publish("main@sha1:1", {**job(deployed, ttlSecondsAfterFinished=0), **job(deployed, "lasting")})
    deployed.put("a", wait=True, timeout="10m")
    deployed.run_due()
    for name in ("job", "lasting"):
        deployed.client.delete(path(deployed, "jobs", name))
    until(lambda: not deployed.client.list(path(deployed, "jobs", "").rstrip("/"))["items"], message="both are gone")
    poke(deployed, "health: Job changed")
    assert list(wait_of(deployed)["waiting"]) == [f"{deployed.namespace}_lasting_batch_Job"]
    ref, shard = deployed.ref("a"), deployed.shard("a")
    memo = json.loads(deployed.state.memos(shard, [ref])[ref] or b"{}")
    assert memo["noisy"] == [f"{deployed.namespace}_job_batch_Job"]
    deployed.forget()
    deployed.again("a")
    assert told(deployed, "Progressing") == [
        f"Job/{deployed.namespace}/job created\nJob/{deployed.namespace}/lasting created"
    ]
    (drift,) = told(deployed, "DriftCorrected")
    assert drift.startswith(f"Job/{deployed.namespace}/lasting: deleted")


def test_one_that_never_becomes_healthy_delays_no_other(waiting: Deployed) -> None:
    """No run of it is under way while it waits, and a neighbour runs at once, from first to last."""
    waiting.publish("main@sha1:1", {**disk(waiting), "b/README.md": "nothing"})
    waiting.put("b")
    claimed = waiting.claim().runs
    assert [run.ref for run in claimed] == [waiting.ref("b")]
    waiting.run(claimed[0])
    assert waiting.condition("b")["status"] == "True"
    assert waiting.state.inspect(waiting.ref("a")).phase == "idle"  # type: ignore[union-attr]


def test_a_list_of_health_checks(deployed: Deployed) -> None:
    """Only what is listed counts, also an object that somebody else applied; the Kustomization itself is left out."""
    files = {**disk(deployed), **disk(deployed, name="other")}
    deployed.publish("main@sha1:1", files)
    theirs = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "theirs"}, "spec": CLAIM_SPEC}
    deployed.client.create(path(deployed, "persistentvolumeclaims", "").rstrip("/"), theirs)
    itself = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "name": "a"}
    checks = [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name} for name in ("disk", "theirs")]
    deployed.put("a", healthChecks=[*checks, itself], timeout="10m")
    deployed.run_due()
    assert len(wait_of(deployed)["waiting"]) == 2
    bind(deployed)
    bind(deployed, "theirs")
    assert poke(deployed, "health: changed")["status"] == "True"


RBAC = "rbac.authorization.k8s.io"


def narrow(deployed: Deployed, verbs: list[str]) -> None:
    """An account `narrow` that may do this with the claims of its own namespace."""
    base = f"/apis/{RBAC}/v1/namespaces/{deployed.namespace}"
    kept = {"metadata": {"name": "narrow"}}
    deployed.client.create(f"/api/v1/namespaces/{deployed.namespace}/serviceaccounts", kept)
    rule = {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": verbs}
    deployed.client.create(f"{base}/roles", {**kept, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "narrow", "namespace": deployed.namespace}
    role = {"apiGroup": RBAC, "kind": "Role", "name": "narrow"}
    deployed.client.create(f"{base}/rolebindings", {**kept, "roleRef": role, "subjects": [subject]})


@pytest.mark.parametrize("verbs", [["get", "patch", "create"], ["get", "patch", "create", "list"]], ids=["get", "list"])
def test_an_account_of_one_namespace_sees_its_own(deployed: Deployed, verbs: list[str]) -> None:
    """Many objects of a kind are not read across namespaces, nor in a LIST that the account may not make."""
    narrow(deployed, verbs)
    names = [f"disk-{number}" for number in range(5)]
    deployed.publish("main@sha1:1", {path: text for name in names for path, text in disk(deployed, name=name).items()})
    deployed.put("a", wait=True, timeout="10m", serviceAccountName="narrow")
    deployed.run_due()
    poke(deployed, "again: drift")
    assert len(wait_of(deployed)["waiting"]) == 5
    for name in names:
        bind(deployed, name)
    assert poke(deployed, "again: drift")["status"] == "True"


def test_what_an_account_may_not_read_is_waited_for(deployed: Deployed) -> None:
    """It may be allowed meanwhile; at the timeout it is the health check that failed."""
    narrow(deployed, ["patch", "create"])
    deployed.publish("main@sha1:1", disk(deployed))
    other = {"apiVersion": "v1", "kind": "Secret", "name": "theirs"}
    deployed.put("a", healthChecks=[other], timeout="10m", serviceAccountName="narrow")
    deployed.run_due()
    assert list(wait_of(deployed)["waiting"]) == [f"{deployed.namespace}_theirs__Secret"]


def test_a_list_of_itself_alone(deployed: Deployed) -> None:
    """Nothing to wait for, but health was asked for: it is told, once."""
    deployed.publish("main@sha1:1", disk(deployed))
    itself = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "name": "a"}
    deployed.put("a", healthChecks=[itself])
    deployed.run_due()
    assert deployed.condition("a")["status"] == "True"
    healthy = deployed.condition("a", "Healthy")
    assert (healthy["status"], healthy["reason"]) == ("True", "Succeeded")
    deployed.again("a")
    passed = [text for text in told(deployed, "Progressing") if text.startswith("Health check passed")]
    assert len(passed) == 1


def test_an_expression_says_when_an_object_is_healthy(deployed: Deployed) -> None:
    """Instead of kstatus' rule for its kind."""
    rule = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "current": "status.phase == 'Pending'"}
    deployed.publish("main@sha1:1", disk(deployed))
    deployed.put("a", wait=True, healthCheckExprs=[rule], timeout="10m")
    deployed.run_until_ready("a")
