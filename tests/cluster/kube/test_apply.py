"""Staged apply on a real API server: what it writes, what it asks, what it refuses and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fleetbeat.api.refs import ObjectId
from fleetbeat.errors import LostLease, ReconciliationFailed
from fleetbeat.kube import marks
from fleetbeat.kube.apply import ApplyFailed
from fleetbeat.kube.errors import NotFound
from fleetbeat.kube.target import Target
from tests.support.managed import GROUP, Managed, Object, config_map, crd, marked
from tests.support.wait import until

pytestmark = pytest.mark.cluster


def test_new_objects_cost_a_dry_run_and_an_apply(managed: Managed) -> None:
    """Creating n objects sends 2n requests; each carries Flux's labels and manager, and nothing of our own."""
    objects = [config_map(managed, f"c{i}") for i in range(6)]
    result = managed.apply(*objects)
    assert [change.action for change in result.changes] == ["created"] * 6
    assert managed.client.stats == {("PATCH", "configmaps"): 12}
    metadata = managed.live(objects[0])["metadata"]
    assert metadata["labels"] == {f"{GROUP}/name": managed.owner.name, f"{GROUP}/namespace": managed.namespace}
    assert [entry["manager"] for entry in metadata["managedFields"]] == ["kustomize-controller"]


def test_unchanged_objects_cost_their_metadata(managed: Managed) -> None:
    """Equal digests and fingerprints: one LIST for many of a kind, a GET for few, no dry run, no write."""
    many = [config_map(managed, f"c{i}") for i in range(6)]
    managed.apply(*many)
    managed.apply(*many)
    assert managed.client.stats == {("GET", "configmaps"): 1}
    managed.apply(*many[:2])
    assert managed.client.stats == {("GET", "configmaps"): 2}


def test_only_changed_objects_are_written(managed: Managed) -> None:
    """A commit that changes one of many objects costs that one a dry run and an apply."""
    many = [config_map(managed, f"c{i}") for i in range(6)]
    managed.apply(*many)
    result = managed.apply(*many[:5], config_map(managed, "c5", color="blue"))
    assert {change.id.name: change.action for change in result.changes}["c5"] == "configured"
    assert managed.client.stats == {("GET", "configmaps"): 1, ("PATCH", "configmaps"): 2}


def test_removed_fields_go(managed: Managed) -> None:
    """A field that leaves Git leaves the cluster."""
    managed.one(config_map(managed, color="red", size="1"))
    managed.one(config_map(managed, color="red"))
    assert managed.live(config_map(managed))["data"] == {"color": "red"}


def test_removed_string_data_goes(managed: Managed) -> None:
    """So does a key of a Secret's stringData, which the API server by itself would keep."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": config_map(managed)["metadata"]}
    managed.one({**secret, "stringData": {"a": "1", "b": "2"}})
    managed.one({**secret, "stringData": {"a": "1"}})
    assert set(managed.live(secret)["data"]) == {"a"}


def test_objects_of_kubectl_are_adopted(managed: Managed) -> None:
    """What kubectl had applied becomes ours: fields that Git does not name are removed, kubectl's note too."""
    managed.kubectl("apply", "-f", "-", stdin=config_map(managed, color="red", old="1"))
    assert managed.one(config_map(managed, color="red")).action == "configured"
    live = managed.live(config_map(managed))
    assert live["data"] == {"color": "red"}
    assert not live["metadata"].get("annotations")
    managed.one(config_map(managed, color="red"))
    assert managed.writes() == 0


def test_a_refused_object_stops_its_stage_before_any_write(managed: Managed) -> None:
    """All refusals are told, with their objects, and nothing of the stage is written."""
    good = config_map(managed, "a-good")
    bad = [{**config_map(managed, name), "data": {"not/valid": "x"}} for name in ("bad-one", "bad-two")]
    with pytest.raises(ApplyFailed) as failed:
        managed.apply(good, *bad)
    lines = failed.value.message.splitlines()
    assert [line.split(" dry-run failed (Invalid): ")[0] for line in lines] == [
        f"ConfigMap/{managed.namespace}/bad-one",
        f"ConfigMap/{managed.namespace}/bad-two",
    ]
    assert not managed.client.list(managed.path(good).rsplit("/", 1)[0], {"labelSelector": marks.NAME})["items"]


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ({"apiVersion": "none.test/v1", "kind": "Nothing"}, 'no matches for kind "Nothing" in version "none.test/v1"'),
        ({"apiVersion": "v1", "kind": "ConfigMap", "data": {}}, "namespace not specified"),
    ],
)
def test_unknown_kind_and_missing_namespace_are_named(managed: Managed, obj: Object, message: str) -> None:
    """An object that cannot be addressed is refused with what is wrong with it."""
    with pytest.raises(ApplyFailed, match=message):
        managed.apply({**obj, "metadata": {"name": "sample"}})


def test_the_same_object_twice_is_refused(managed: Managed) -> None:
    """Two renders of one object would fight; neither is applied."""
    with pytest.raises(ReconciliationFailed, match="more than once"):
        managed.apply(config_map(managed), config_map(managed, color="blue"))


def test_definitions_come_before_their_objects(managed: Managed) -> None:
    """A CRD, a namespace and objects of both in one set are applied in one run, whatever their order."""
    group = f"{managed.namespace}.kube.test"
    name = f"{managed.namespace}-inner"
    thing = {
        "apiVersion": f"{group}/v1",
        "kind": "Thing",
        "metadata": {"name": "t", "namespace": name},
        "spec": {"a": 1},
    }
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    result = managed.apply(thing, space, crd(group))
    assert [change.id.kind for change in result.changes] == ["CustomResourceDefinition", "Namespace", "Thing"]
    assert {change.action for change in result.changes} == {"created"}
    managed.apply(thing, space, crd(group))
    assert managed.writes() == 0
    managed.client.delete(managed.path(crd(group)))
    managed.client.delete(managed.path(space))


def test_kinds_of_the_installation_come_first(managed: Managed) -> None:
    """A refused object of a later stage finds those of the custom stage written; in one stage it would not."""
    early, bad = config_map(managed, "early"), {**config_map(managed, "bad"), "kind": "Secret", "data": {"a": 1}}
    with pytest.raises(ApplyFailed, match=r"Secret/.*/bad"):
        managed.apply(early, bad)
    with pytest.raises(NotFound):
        managed.live(early)
    with pytest.raises(ApplyFailed, match=r"Secret/.*/bad") as failed:
        managed.apply(early, bad, early=frozenset({("", "ConfigMap")}))
    assert [change.action for change in failed.value.result.changes] == ["created"]
    assert managed.live(early)["data"] == early["data"]


def test_cluster_scoped_objects_lose_a_namespace(managed: Managed) -> None:
    """A namespace on a cluster-scoped object is ignored, in its id too."""
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    metadata = {"name": managed.namespace, "namespace": managed.namespace}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}
    result = managed.apply(role)
    assert list(result.entries) == [ObjectId("rbac.authorization.k8s.io", "ClusterRole", "", managed.namespace)]
    managed.client.delete(managed.path(role))


@pytest.mark.parametrize("switch", [{"reconcile": "Disabled"}, {"ssa": "Ignore"}])
def test_objects_marked_to_be_ignored_are_not_applied(managed: Managed, switch: dict[str, str]) -> None:
    """Marked in Git, an object is neither created nor asked for; marked on the cluster, it is not changed."""
    assert managed.one(marked(config_map(managed), **switch)).action == "skipped"
    assert not managed.client.stats
    managed.one(config_map(managed))
    key, value = next(iter(switch.items()))
    managed.kubectl("annotate", "configmap/sample", f"{GROUP}/{key}={value}")
    managed.kubectl("patch", "configmap/sample", "-p", '{"data":{"color":"blue"}}')
    assert managed.one(config_map(managed)).action == "skipped"
    assert managed.one(config_map(managed, color="green")).action == "skipped"
    assert managed.live(config_map(managed))["data"] == {"color": "blue"}
    managed.kubectl("annotate", "configmap/sample", f"{GROUP}/{key}-")
    assert managed.one(config_map(managed, color="green")).action == "configured"
    assert managed.live(config_map(managed))["data"] == {"color": "green"}


def test_if_not_present_creates_once(managed: Managed) -> None:
    """`ssa: IfNotPresent` creates what is missing and never updates what is there."""
    first = marked(config_map(managed), ssa="IfNotPresent")
    second = {**first, "data": {"color": "blue"}}
    assert managed.one(first).action == "created"
    assert managed.one(second).action == "skipped"
    assert managed.one(second).action == "skipped"
    assert managed.writes() == 0
    assert managed.live(first)["data"] == {"color": "red"}
    managed.kubectl("delete", "configmap/sample")
    assert managed.one(second).action == "created"


def test_a_lost_lease_writes_nothing_more(managed: Managed) -> None:
    """The guard is asked before every write, and its refusal ends the run."""
    allowed = 2

    def guard() -> None:
        nonlocal allowed
        allowed -= 1
        if allowed < 0:
            raise LostLease

    objects = [config_map(managed, f"c{i}") for i in range(5)]
    with pytest.raises(LostLease):
        managed.apply(*objects, guard=guard)
    listed = managed.client.list(managed.path(objects[0]).rsplit("/", 1)[0], {"labelSelector": marks.NAME})
    assert len(listed["items"]) == 2


def test_writes_are_the_tenants(managed: Managed) -> None:
    """Whole objects are read and written as the impersonated account; what it may not do is refused by name."""
    user = f"system:serviceaccount:{managed.namespace}:tenant"
    tenant = replace(
        managed, target=Target.of(managed.client, managed.client.impersonate(user), managed.target.discovery)
    )
    with pytest.raises(ApplyFailed, match=rf'dry-run failed \(Forbidden\): .*User "{user}" cannot patch'):
        tenant.apply(config_map(managed))
    rule: Any = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]}
    meta = {"name": "tenant", "namespace": managed.namespace}
    api = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": meta, "rules": [rule]}
    subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": managed.namespace}
    reference = {"apiGroup": api, "kind": "Role", "name": "tenant"}
    binding = {**role, "kind": "RoleBinding", "subjects": [subject], "roleRef": reference}
    del binding["rules"]
    managed.apply(role, binding)
    until(lambda: _allowed(tenant, config_map(managed)), message="the role is in force")


def _allowed(tenant: Managed, obj: Object) -> bool:
    try:
        return tenant.one(obj).action == "created"
    except ApplyFailed:
        return False


def test_a_full_check_finds_what_fingerprints_cannot(managed: Managed) -> None:
    """With `full`, every object is compared by dry run; an unchanged one is not written."""
    obj = config_map(managed)
    managed.one(obj)
    entry = managed.entry(obj)
    assert managed.one(obj, full=True).action == "unchanged"
    assert managed.entry(obj) == entry
    assert managed.client.stats["PATCH", "configmaps"] == 1


def test_a_lost_ledger_costs_looks_not_content(managed: Managed) -> None:
    """Without a ledger the same set is applied again and changes nothing."""
    obj = config_map(managed)
    managed.one(obj)
    version = managed.metadata(obj).rv
    managed.ledger = replace(managed.ledger, entries={})
    assert managed.one(obj).action == "unchanged"
    assert managed.metadata(obj).rv == version
