"""`spec.ignore` on a real API server: whose value stands, what is drift, and that nothing runs for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleetbeat.api.appliers import IgnoreRule, Selector
from fleetbeat.errors import InvalidSpec
from fleetbeat.kube import look as module
from fleetbeat.kube.apply import ApplyFailed, ApplyResult
from fleetbeat.kube.ignoring import compile_rules
from tests.support.foreign import SAMPLES, seen_by_its_controller
from tests.support.managed import Managed, Object, config_map

pytestmark = pytest.mark.cluster


def ignoring(*paths: str, **target: str) -> Any:
    return compile_rules([IgnoreRule(paths, Selector(**target) if target else None)])


def deployment(managed: Managed, **spec: Any) -> Object:
    obj = SAMPLES["Deployment"].make(managed.namespace)
    obj["spec"] |= spec
    return obj


def quiet(managed: Managed, obj: Object, **options: Any) -> None:
    """The next looks ask for metadata alone and a full one writes nothing."""
    before = managed.metadata(obj).fingerprint
    assert managed.one(obj, **options).action == "unchanged"
    managed.one(obj, **options)
    assert managed.writes() == 0
    assert managed.one(obj, full=True, **options).action == "unchanged"
    assert managed.metadata(obj).fingerprint == before


def test_a_new_object_is_created_with_everything(managed: Managed) -> None:
    """There is nobody else to say what an ignored field should be."""
    managed.one(deployment(managed, replicas=2), ignore=ignoring("/spec/replicas"))
    assert managed.live(deployment(managed))["spec"]["replicas"] == 2


@pytest.mark.parametrize("hand", ["dashboard", "kubectl edit", "kubectl scale", "another applier"])
def test_a_foreign_value_stands(managed: Managed, hand: str) -> None:
    """Whoever changes an ignored field: the value stays, nothing is drift, no run follows the one that looked."""
    obj, ignore = deployment(managed, replicas=0), ignoring("/spec/replicas")
    managed.one(obj, ignore=ignore)
    seen_by_its_controller(managed, obj)
    if hand == "dashboard":
        managed.update_as(hand, obj, {"spec": {"replicas": 3}})
    elif hand == "kubectl edit":
        managed.edit("deployment/sample", {"spec": {"replicas": 3}})
    elif hand == "kubectl scale":
        managed.kubectl("scale", "deployment/sample", "--replicas=3")
    else:
        other = {key: obj[key] for key in ("apiVersion", "kind")}
        other |= {"metadata": {"name": "sample", "namespace": managed.namespace}, "spec": {"replicas": 3}}
        managed.client.apply(managed.path(obj), other, "autoscaler")
    change = managed.one(obj, ignore=ignore)
    assert (change.action, change.drift) == ("unchanged", ())
    quiet(managed, obj, ignore=ignore)
    assert managed.live(obj)["spec"]["replicas"] == 3


@pytest.mark.parametrize("hand", ["dashboard", "kubectl-edit", "another applier"])
def test_a_commit_beside_it_keeps_it(managed: Managed, hand: str) -> None:
    """Another field changes in Git: the ignored one keeps its live value, and an applier keeps its ownership alone."""
    ignore = ignoring("/data/size")
    managed.one(config_map(managed, color="red", size="1"), ignore=ignore)
    if hand == "another applier":
        managed.client.apply(managed.path(config_map(managed)), config_map(managed, size="2"), hand)
    else:
        managed.update_as(hand, config_map(managed), {"data": {"size": "2"}})
    after = config_map(managed, color="blue", size="9")
    assert managed.one(after, ignore=ignore).action == "configured"
    live = managed.live(after)
    assert live["data"] == {"color": "blue", "size": "2"}
    owners = {entry["manager"] for entry in live["metadata"]["managedFields"] if "f:size" in json.dumps(entry)}
    assert owners == ({hand} if hand == "another applier" else owners | {"kustomize-controller"})
    quiet(managed, after, ignore=ignore)


def test_what_kubectl_added_at_an_ignored_place_survives_its_clean_up(managed: Managed) -> None:
    """kubectl's other fields are taken over and removed; what it added there is not."""
    obj, ignore = config_map(managed), ignoring("/data/extra")
    managed.one(obj, ignore=ignore)
    managed.kubectl("patch", "configmap/sample", "-p", '{"data":{"extra":"kept","other":"goes"}}')
    change = managed.one(obj, ignore=ignore)
    assert change.drift == ("data.other added by kubectl-patch",)
    assert managed.live(obj)["data"] == {"color": "red", "extra": "kept"}
    quiet(managed, obj, ignore=ignore)


def test_what_was_removed_at_an_ignored_place_stays_removed(managed: Managed) -> None:
    """A field that somebody took away is not put back."""
    obj, ignore = config_map(managed, color="red", size="1"), ignoring("/data/size")
    managed.one(obj, ignore=ignore)
    managed.update_as("dashboard", obj, {"data": {"size": None}})
    assert managed.one(obj, ignore=ignore).drift == ()
    quiet(managed, obj, ignore=ignore)
    assert managed.live(obj)["data"] == {"color": "red"}


def test_drift_beside_an_ignored_field_is_undone(managed: Managed) -> None:
    """Both were changed at once by one hand: one is restored and named, the other stands."""
    obj, ignore = config_map(managed, color="red", size="1"), ignoring("/data/size")
    managed.one(obj, ignore=ignore)
    managed.update_as("dashboard", obj, {"data": {"color": "blue", "size": "2"}})
    assert managed.one(obj, ignore=ignore).drift == ("data.color changed by dashboard",)
    assert managed.live(obj)["data"] == {"color": "red", "size": "2"}
    quiet(managed, obj, ignore=ignore)


def test_an_item_of_a_list_is_the_same_item_wherever_it_stands(managed: Managed) -> None:
    """The pointer counts in the manifest; a sidecar that was put in front of the container is not mistaken for it."""
    obj, ignore = deployment(managed), ignoring("/spec/template/spec/containers/0/image")
    managed.one(obj, ignore=ignore)
    seen_by_its_controller(managed, obj)
    containers = managed.live(obj)["spec"]["template"]["spec"]["containers"]
    name = containers[0]["name"]
    containers[0]["image"] = "example.test/main:live"
    patched = [{"name": "sidecar", "image": "example.test/sidecar:1"}, *containers]
    managed.update_as("injector", obj, {"spec": {"template": {"spec": {"containers": patched}}}})
    changed = deployment(managed, replicas=0, paused=True)
    managed.one(changed, ignore=ignore)
    live = managed.live(obj)["spec"]["template"]["spec"]["containers"]
    assert {item["name"]: item["image"] for item in live} == {
        "sidecar": "example.test/sidecar:1",
        name: "example.test/main:live",
    }
    quiet(managed, changed, ignore=ignore)


def test_a_field_in_an_atomic_list_stands_although_the_list_changed_hands(managed: Managed) -> None:
    """Ownership is of the whole list; the rest of it is compared by content."""
    spec = {"rules": [{"host": "a.test"}, {"host": "b.test"}]}
    metadata = {"name": "sample", "namespace": managed.namespace}
    obj = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}
    ignore = ignoring("/spec/rules/0/host")
    managed.one(obj, ignore=ignore)
    for hand in ("dashboard", "applier"):
        spec = {"rules": [{"host": f"{hand}.test"}, {"host": "b.test"}]}
        if hand == "dashboard":
            managed.update_as(hand, obj, {"spec": spec})
        else:
            managed.client.apply(managed.path(obj), {**obj, "spec": spec}, hand)
        assert managed.one(obj, ignore=ignore).drift == ()
        quiet(managed, obj, ignore=ignore)
        assert managed.live(obj)["spec"]["rules"][0]["host"] == f"{hand}.test"
    managed.update_as("dashboard", obj, {"spec": {"rules": [{"host": "x.test"}, {"host": "c.test"}]}})
    assert managed.one(obj, ignore=ignore).drift == ("spec.rules changed by dashboard",)
    assert [rule["host"] for rule in managed.live(obj)["spec"]["rules"]] == ["x.test", "b.test"]


def test_what_is_no_longer_ignored_is_restored(managed: Managed) -> None:
    """Without the rule Git has the say again, at once."""
    obj = config_map(managed, color="red", size="1")
    managed.one(obj, ignore=ignoring("/data/size"))
    managed.update_as("dashboard", obj, {"data": {"size": "2"}})
    managed.one(obj, ignore=ignoring("/data/size"))
    assert managed.one(obj).action == "configured"
    assert managed.live(obj)["data"]["size"] == "1"


def test_a_target_limits_the_rule(managed: Managed) -> None:
    """Objects that it does not select are kept as Git has them."""
    one, two = config_map(managed, "one"), config_map(managed, "two")
    ignore = ignoring("/data/color", kind="ConfigMap", name="one")
    managed.apply(one, two, ignore=ignore)
    for obj in (one, two):
        managed.update_as("dashboard", obj, {"data": {"color": "blue"}})
    result: ApplyResult = managed.apply(one, two, ignore=ignore)
    assert {change.id.name: change.action for change in result.changes} == {"one": "unchanged", "two": "configured"}
    assert [managed.live(obj)["data"]["color"] for obj in (one, two)] == ["blue", "red"]


def test_stripped_ownership_is_regained_without_touching_the_value(managed: Managed) -> None:
    """Even when nothing tells who changed what, the live value of an ignored field stands."""
    obj, ignore = config_map(managed, color="red", size="1"), ignoring("/data/size")
    managed.one(obj, ignore=ignore)
    managed.client.patch(managed.path(obj), {"data": {"size": "2"}, "metadata": {"managedFields": [{}]}})
    assert managed.one(obj, ignore=ignore).action == "configured"
    assert managed.live(obj)["data"] == {"color": "red", "size": "2"}
    quiet(managed, obj, ignore=ignore)


def test_owner_labels_cannot_be_ignored(managed: Managed) -> None:
    """All labels ignored: ours are restored, others stand."""
    obj, ignore = config_map(managed), ignoring("/metadata/labels")
    managed.one(obj, ignore=ignore)
    before = managed.live(obj)["metadata"]["labels"]
    managed.update_as("dashboard", obj, {"metadata": {"labels": dict.fromkeys(before, "stolen") | {"free": "yes"}}})
    managed.one({**obj, "data": {"color": "blue"}}, ignore=ignore)
    assert managed.live(obj)["metadata"]["labels"] == {**before, "free": "yes"}


@pytest.mark.parametrize("path", ["spec/replicas", "", "/", "/metadata/name", "/kind", "/metadata"])
def test_paths_that_name_no_field_are_refused(path: str) -> None:
    """Told with the entry, before anything is applied."""
    with pytest.raises(InvalidSpec, match=r"spec\.ignore\[0\]\.paths"):
        ignoring(path)


def test_a_live_secret_is_never_quoted(managed: Managed) -> None:
    """What is kept of a Secret is sent, and masked when the API server complains of the rest."""
    obj: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": config_map(managed)["metadata"], "type": "Opaque"}
    obj["data"] = {"password": "b2xkb2xkb2xk"}
    managed.one(obj, ignore=ignoring("/data/password"))
    managed.update_as("rotator", obj, {"data": {"password": "bGl2ZWxpdmVsaXZl"}})
    bad = {**obj, "metadata": {**obj["metadata"], "labels": {"bGl2ZWxpdmVsaXZl": "not valid!"}}}
    with pytest.raises(ApplyFailed, match=r"dry-run failed \(Invalid\)") as failed:
        managed.one(bad, ignore=ignoring("/data/password"))
    assert "bGl2ZWxpdmVsaXZl" not in failed.value.message


def test_a_value_that_moves_meanwhile_is_not_set_back(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our read and our write somebody changes the ignored field: the write is made anew for what is there."""
    ignore = ignoring("/data/size")
    managed.one(config_map(managed, color="red", size="1"), ignore=ignore)
    managed.update_as("dashboard", config_map(managed), {"data": {"size": "2"}})
    real = module.around
    counts = iter(range(3, 6))

    def move_after_read(*args: Any) -> Any:
        near = real(*args)
        number = next(counts, None)
        if number is not None:
            managed.update_as("dashboard", config_map(managed), {"data": {"size": str(number)}})
        return near

    monkeypatch.setattr(module, "around", move_after_read)
    assert managed.one(config_map(managed, color="blue", size="1"), ignore=ignore).action == "configured"
    assert managed.live(config_map(managed))["data"] == {"color": "blue", "size": "5"}
