"""Objects and clusters that make an apply difficult: too large, terminating, contested, oddly named."""

from __future__ import annotations

import pytest

from fleetbeat.api.refs import ObjectId
from fleetbeat.kube.apply import ApplyFailed, prune
from tests.support.managed import Managed, Object, config_map, crd, marked
from tests.support.wait import until

pytestmark = pytest.mark.cluster

MIB = 1 << 20


@pytest.fixture
def thing(managed: Managed) -> Object:
    """A custom resource, small, and its definition applied before."""
    group = f"{managed.namespace}.kube.test"
    managed.apply(crd(group))
    metadata = {"name": "large", "namespace": managed.namespace}
    return {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": metadata, "spec": {}}


def test_an_object_of_more_than_a_mebibyte(managed: Managed, thing: Object) -> None:
    """It is applied whole, is quiet afterwards, and a change of it is found."""
    large = {**thing, "spec": {"text": "x" * (MIB + MIB // 5)}}
    assert managed.one(large).action == "created"
    assert managed.live(large)["spec"] == large["spec"]
    assert managed.one(large).action == "unchanged"
    assert managed.writes() == 0
    managed.update_as("dashboard", large, {"spec": {"text": "y"}})
    assert managed.one(large).drift == ("spec.text changed by dashboard",)
    managed.client.delete(managed.path(crd(thing["apiVersion"].partition("/")[0])))


@pytest.mark.parametrize(
    ("size", "told"), [(MIB + 1, "Too long: may not be more than 1048576 bytes"), (4 * MIB, "limit is 3145728")]
)
def test_an_object_that_no_api_server_takes(managed: Managed, size: int, told: str) -> None:
    """The server's limit is told with the object's name and without its content; nothing of the stage is written."""
    good = config_map(managed, "good")
    with pytest.raises(ApplyFailed) as failed:
        managed.apply(good, config_map(managed, "large", text="x" * size))
    (line,) = failed.value.message.splitlines()
    assert line.startswith(f"ConfigMap/{managed.namespace}/large dry-run failed")
    assert told in line
    assert len(line) < 500
    assert failed.value.result.changes == ()


def test_a_namespace_that_cannot_go(managed: Managed) -> None:
    """Objects for a namespace that is stuck in Terminating are refused with its name, and their stage with them."""
    name = f"{managed.namespace}-stuck"
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    metadata = {"name": "held", "namespace": name, "finalizers": ["kube.test/x"]}
    held = {**config_map(managed), "metadata": metadata}
    managed.apply(space, held)
    managed.client.delete(managed.path(space))
    new = {**config_map(managed), "metadata": {"name": "new", "namespace": name}}
    until(lambda: managed.live(space)["metadata"].get("deletionTimestamp"))
    with pytest.raises(ApplyFailed) as failed:
        managed.apply(space, config_map(managed, "other"), held, new)
    assert f"ConfigMap/{name}/new dry-run failed" in failed.value.message
    assert f"in namespace {name} because it is being terminated" in failed.value.message
    assert ObjectId.of(config_map(managed, "other")) not in failed.value.result.entries
    managed.client.patch(managed.path(held), {"metadata": {"finalizers": None}}, params={"fieldManager": "user"})


def test_definitions_that_want_one_name(managed: Managed) -> None:
    """A definition whose names are taken ends the stage with the API server's reason, not with a timeout."""
    first, second = crd(f"{managed.namespace}.kube.test"), crd(f"{managed.namespace}.kube.test")
    managed.apply(first)
    names = {**second["spec"]["names"], "plural": "others", "singular": "other"}
    second = {
        **second,
        "metadata": {"name": f"others.{managed.namespace}.kube.test"},
        "spec": {**second["spec"], "names": names},
    }
    with pytest.raises(ApplyFailed, match=r'names not accepted: "Thing(List)?" is already in use'):
        managed.apply(first, second)
    for definition in (first, second):
        managed.client.delete(managed.path(definition))


def test_an_early_stage_stands_when_a_later_one_is_refused(managed: Managed) -> None:
    """Definitions and classes are complete before the rest is looked at: that is refused, they are there."""
    level = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": managed.namespace},
        "value": 5,
    }
    bad = {**config_map(managed), "data": {"not/valid": "x"}}
    with pytest.raises(ApplyFailed) as failed:
        managed.apply(bad, config_map(managed, "good"), level)
    assert [(change.id.kind, change.action) for change in failed.value.result.changes] == [("PriorityClass", "created")]
    assert managed.live(level)["value"] == 5
    managed.client.delete(managed.path(level))


def test_names_with_colons(managed: Managed) -> None:
    """RBAC names may hold colons: they are found again by their inventory id, and pruned."""
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    metadata = {"name": f"{managed.namespace}:read:all"}
    api = "rbac.authorization.k8s.io/v1"
    role: Object = {"apiVersion": api, "kind": "ClusterRole", "metadata": metadata, "rules": rules}
    managed.apply(role)
    (oid,) = managed.ledger.entries
    assert oid.inventory_id == f"_{managed.namespace}__read__all_rbac.authorization.k8s.io_ClusterRole"
    stale = {ObjectId.from_inventory_id(oid.inventory_id): managed.ledger.entries[oid]}
    assert [change.action for change in prune(managed.target, stale, managed.options()).changes] == ["deleted"]


def test_skipped_objects_are_in_the_inventory(managed: Managed) -> None:
    """Applied or not, what Git names is no leftover."""
    skipped = marked(config_map(managed, "skipped"), reconcile="disabled")
    result = managed.apply(config_map(managed), skipped)
    assert {oid.name for oid in result.entries} == {"sample", "skipped"}
