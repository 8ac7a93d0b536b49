"""The end of a Kustomization on a real API server: every policy, what stays, and waiting that holds no worker."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from fleetbeat.api.refs import Ref
from fleetbeat.kube.errors import NotFound
from fleetbeat.kube.ledger import load
from tests.support.deployed import Deployed
from tests.support.wait import until
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

HOLD = "kube.test/hold"
PRUNE = "kustomize.toolkit.fluxcd.io/prune"


def config_map(deployed: Deployed, name: str, **metadata: Any) -> dict[str, str]:
    meta = {"name": name, "namespace": deployed.namespace, **metadata}
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"key": "1"}}
    return {f"a/{name}.yaml": json.dumps(obj)}


def path(deployed: Deployed, name: str) -> str:
    return f"/api/v1/namespaces/{deployed.namespace}/configmaps/{name}"


def there(deployed: Deployed, name: str) -> bool:
    try:
        deployed.client.get(path(deployed, name))
    except NotFound:
        return False
    return True


def settle(deployed: Deployed, files: dict[str, str], **spec: Any) -> None:
    deployed.publish("main@sha1:1", files)
    deployed.put("a", **spec)
    deployed.settle()


def has_ledger(deployed: Deployed) -> bool:
    return load(deployed.client, Ref.parse(deployed.ref("a")), deployed.ctx.hub_id).exists


def hold(deployed: Deployed, name: str, *finalizers: str) -> None:
    """Somebody's finalizers keep an object in Terminating; none lets it go."""
    patch = {"metadata": {"finalizers": list(finalizers) or None}}
    deployed.client.patch(path(deployed, name), patch, params={"fieldManager": "dashboard"})


def messages(deployed: Deployed, kind: str = "Warning") -> list[str]:
    return [event["message"] for event in deployed.events() if event.get("type", "Normal") == kind]


@pytest.mark.parametrize(
    ("spec", "goes"),
    [
        ({"prune": True}, True),
        ({"prune": False}, False),
        ({"prune": True, "deletionPolicy": "MirrorPrune"}, True),
        ({"prune": False, "deletionPolicy": "MirrorPrune"}, False),
        ({"prune": False, "deletionPolicy": "Delete"}, True),
        ({"prune": False, "deletionPolicy": "WaitForTermination"}, True),
        ({"prune": True, "deletionPolicy": "Orphan"}, False),
        ({"prune": True, "suspend": True}, False),
        ({"prune": True, "suspend": True, "deletionPolicy": "WaitForTermination"}, False),
    ],
)
def test_policies(deployed: Deployed, spec: dict[str, Any], goes: bool) -> None:
    """What becomes of the objects; the finalizer goes in one run in every case."""
    settle(deployed, config_map(deployed, "one"), **{key: value for key, value in spec.items() if key != "suspend"})
    if spec.get("suspend"):
        deployed.edit("a", suspend=True)
        assert deployed.run_due() == {"a": "generation 2"}
    deployed.delete("a")
    assert deployed.run_due() == {"a": "deleted"}
    assert deployed.finalized("a")
    assert there(deployed, "one") == (not goes)


@pytest.mark.parametrize("broken", [False, True], ids=["ready", "failed"])
def test_what_was_deleted_is_told(deployed: Deployed, broken: bool) -> None:
    """One event, with the reason of the last Ready condition and the revision that was applied last."""
    settle(deployed, config_map(deployed, "one"))
    if broken:
        deployed.publish("main@sha1:2", {"a/one.yaml": "{"})
        assert deployed.again("a")["reason"] == "BuildFailed"
    deployed.forget()
    deployed.delete("a")
    deployed.run_due()
    (event,) = deployed.events()
    assert event["reason"] == ("BuildFailed" if broken else "ReconciliationSucceeded")
    assert event.get("type", "Normal") == "Normal"
    assert event["message"] == f"ConfigMap/{deployed.namespace}/one deleted"
    assert event["metadata"] == {"kustomize.toolkit.fluxcd.io/revision": "main@sha1:1"}


def test_a_marked_object_stays(deployed: Deployed) -> None:
    """`prune: disabled` in the source or put on by hand outlives its Kustomization, without any noise."""
    files = config_map(deployed, "marked", annotations={PRUNE: "Disabled"})
    settle(deployed, {**files, **config_map(deployed, "one"), **config_map(deployed, "late")})
    deployed.client.patch(path(deployed, "late"), {"metadata": {"labels": {PRUNE: "disabled"}}}, params=DASHBOARD)
    deployed.delete("a")
    deployed.run_due()
    assert deployed.finalized("a")
    assert [there(deployed, name) for name in ("marked", "late", "one")] == [True, True, False]
    assert not has_ledger(deployed)


def test_applied_and_pruned_are_told_apart(deployed: Deployed) -> None:
    """Two events, in the order in which it happened."""
    settle(deployed, {**config_map(deployed, "one"), **config_map(deployed, "two")})
    deployed.forget()
    deployed.publish("main@sha1:2", {**config_map(deployed, "one"), **config_map(deployed, "three")})
    deployed.again("a")
    told = [event["message"] for event in deployed.events() if event["reason"] == "Progressing"]
    assert told == [f"ConfigMap/{deployed.namespace}/{what}" for what in ("three created", "two deleted")]


DASHBOARD = {"fieldManager": "dashboard"}


def test_a_marked_object_stays_when_its_source_drops_it(deployed: Deployed) -> None:
    """The same for an object that left the source while its Kustomization stays."""
    settle(deployed, {**config_map(deployed, "one", labels={PRUNE: "disabled"}), **config_map(deployed, "two")})
    deployed.publish("main@sha1:2", config_map(deployed, "two"))
    assert deployed.again("a")["status"] == "True"
    assert there(deployed, "one")
    assert [entry["id"] for entry in deployed.status("a")["inventory"]["entries"]] == [
        f"{deployed.namespace}_two__ConfigMap"
    ]


def test_termination_is_waited_for_by_looking_again(deployed: Deployed) -> None:
    """Each look is a run of its own at what is left alone; the message names the objects and their finalizers."""
    settle(
        deployed,
        {**config_map(deployed, "held"), **config_map(deployed, "one")},
        deletionPolicy="WaitForTermination",
        timeout="10m",
    )
    hold(deployed, "held", HOLD, "kube.test/other")
    deployed.delete("a")
    assert deployed.run_due() == {"a": "deleted"}
    assert (deployed.finalized("a"), there(deployed, "one")) == (False, False)
    name = f"ConfigMap/{deployed.namespace}/held"
    told = f"waiting for 1 objects to terminate: {name} (finalizers: {HOLD}, kube.test/other)"
    ready = deployed.condition("a")
    assert (ready["status"], ready["reason"], ready["message"]) == ("Unknown", "Progressing", told)
    assert deployed.due_in("a") <= 2
    stats = deployed.ctx.hub.stats
    stats.clear()
    deployed.again("a")
    assert (stats["GET", "configmaps"], stats["DELETE", "configmaps"]) == (2, 0)
    assert 2 < deployed.due_in("a") < 3
    hold(deployed, "held")
    deployed.again("a")
    assert deployed.finalized("a")
    assert not has_ledger(deployed)
    assert messages(deployed) == []


def test_termination_is_not_waited_for_for_ever(deployed: Deployed) -> None:
    """After `spec.timeout` the resource goes, and an event names what is left, as with Flux."""
    settle(deployed, config_map(deployed, "held"), deletionPolicy="WaitForTermination", timeout="30s")
    hold(deployed, "held", HOLD)
    deployed.delete("a")
    deployed.run_due()
    assert not deployed.finalized("a")
    shard, ref = deployed.shard("a"), deployed.ref("a")
    memo = json.loads(deployed.state.memos(shard, [ref])[ref] or b"{}")
    memo["terminating"]["since"] -= 31
    deployed.state.command("HSET", f"fb:{{{shard}}}:memo", ref, json.dumps(memo))
    deployed.again("a")
    assert deployed.finalized("a")
    (warning,) = messages(deployed)
    held = f"ConfigMap/{deployed.namespace}/held (finalizers: {HOLD})"
    assert warning == f"not gone after 30s, no longer waited for: {held}"
    hold(deployed, "held")


def test_a_namespace_that_is_stuck_says_why(deployed: Deployed) -> None:
    """Its finalizers are not in its metadata; what its controller says is told instead."""
    name = f"{deployed.namespace}-stuck"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    settle(deployed, {"a/ns.yaml": json.dumps(namespace)}, deletionPolicy="WaitForTermination", timeout="10m")
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": [HOLD]}}
    deployed.client.create(f"/api/v1/namespaces/{name}/configmaps", held)
    deployed.delete("a")
    deployed.run_due()

    def told() -> bool:
        deployed.again("a")
        return HOLD in deployed.condition("a")["message"]

    until(told, message="the namespace's controller says what it waits for")
    assert f"Namespace/{name} (" in deployed.condition("a")["message"]
    release = {"metadata": {"finalizers": None}}
    deployed.client.patch(f"/api/v1/namespaces/{name}/configmaps/held", release)

    def gone() -> bool:
        deployed.again("a")
        return deployed.finalized("a")

    until(gone, message="the namespace is gone")


def test_nothing_can_be_applied_to_a_namespace_that_terminates(deployed: Deployed) -> None:
    """The API server's word reaches the status; nothing of the stage is written, and it heals by itself."""
    name = f"{deployed.namespace}-ending"
    deployed.client.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": [HOLD]}}
    deployed.client.create(f"/api/v1/namespaces/{name}/configmaps", held)
    deployed.client.delete(f"/api/v1/namespaces/{name}")
    deployed.publish("main@sha1:1", {**config_map(deployed, "one"), **config_map(deployed, "in", namespace=name)})
    deployed.put("a")
    deployed.run_due()
    ready = deployed.condition("a")
    assert ready["reason"] == "ReconciliationFailed"
    assert f"ConfigMap/{name}/in dry-run failed" in ready["message"]
    assert "because it is being terminated" in ready["message"]
    assert not there(deployed, "one")
    deployed.client.patch(f"/api/v1/namespaces/{name}/configmaps/held", {"metadata": {"finalizers": None}})


def test_a_missing_ledger_deletes_nothing(deployed: Deployed) -> None:
    """Nobody knows for sure what was applied: the objects stay, and an event says how many."""
    settle(deployed, config_map(deployed, "one"))
    ledger = load(deployed.client, Ref.parse(deployed.ref("a")), deployed.ctx.hub_id)
    deployed.client.delete(f"/api/v1/namespaces/{ledger.namespace}/configmaps/{ledger.name}")
    deployed.delete("a")
    deployed.run_due()
    assert deployed.finalized("a")
    assert there(deployed, "one")
    assert messages(deployed) == ["the ledger is missing on the cluster: 1 objects left in place, delete them by hand"]


def test_a_missing_service_account_deletes_nothing(deployed: Deployed) -> None:
    """As with Flux: whoever may have written the objects is gone, so nobody deletes them."""
    account = f"/api/v1/namespaces/{deployed.namespace}/serviceaccounts"
    deployed.client.create(account, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "tenant"}})
    _bind(deployed, "tenant")
    settle(deployed, config_map(deployed, "one"), serviceAccountName="tenant")
    deployed.client.delete(f"{account}/tenant")
    deployed.delete("a")
    deployed.run_due()
    assert (deployed.finalized("a"), there(deployed, "one")) == (True, True)
    assert messages(deployed) == [f"service account {deployed.namespace}:tenant not found: objects left in place"]


def _bind(deployed: Deployed, name: str) -> None:
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": deployed.namespace}
    role = {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"}
    obj = {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": {"name": name}, "roleRef": role}
    deployed.client.create(
        f"/apis/{group}/v1/namespaces/{deployed.namespace}/rolebindings", {**obj, "subjects": [subject]}
    )


def test_without_its_kubeconfig_a_deletion_waits_and_says_so(deployed: Deployed, cluster: Cluster) -> None:
    """The Secret may come back; `Orphan` lets the resource go without it."""
    deployed.secret("edge", value=yaml.safe_dump(cluster.kubeconfig_data))
    deployed.publish("main@sha1:1", config_map(deployed, "one"))
    deployed.put("a", kubeConfig={"secretRef": {"name": "edge"}})
    deployed.run_due()
    assert deployed.condition("a")["status"] == "True"
    deployed.client.delete(f"/api/v1/namespaces/{deployed.namespace}/secrets/edge")
    deployed.delete("a")
    deployed.run_due()
    assert not deployed.finalized("a")
    message = deployed.condition("a")["message"]
    assert f"Secret {deployed.namespace}/edge not found: its objects cannot be deleted" in message
    deployed.edit("a", deletionPolicy="Orphan")
    deployed.run_due()
    assert (deployed.finalized("a"), there(deployed, "one")) == (True, True)


def test_one_that_never_came_to_a_cluster_goes(deployed: Deployed) -> None:
    """Its kubeconfig Secret never existed, so neither did any object."""
    deployed.publish("main@sha1:1", config_map(deployed, "one"))
    deployed.put("a", kubeConfig={"secretRef": {"name": "nowhere"}})
    deployed.run_due()
    assert deployed.condition("a")["status"] == "False"
    deployed.delete("a")
    deployed.run_due()
    assert deployed.finalized("a")


def test_objects_of_a_first_run_that_died_are_deleted(deployed: Deployed) -> None:
    """No status was ever written; the ledger on the cluster knows what the run had intended and written."""
    deployed.publish("main@sha1:1", config_map(deployed, "one"))
    deployed.put("a")
    (run,) = deployed.claim().runs
    finish = deployed.state.finish
    deployed.state.finish = lambda *args, **more: "stale"  # type: ignore[method-assign]
    deployed.run(run)
    deployed.state.finish = finish  # type: ignore[method-assign]
    assert there(deployed, "one")
    assert deployed.status("a") == {}
    deployed.delete("a")
    deployed.expire_leases()
    deployed.run_due()
    assert (deployed.finalized("a"), there(deployed, "one")) == (True, False)
