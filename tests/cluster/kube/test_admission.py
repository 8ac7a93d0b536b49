"""Admission, defaults and atomic lists: where an object's content is not only what we sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fleetbeat.kube.errors import KubeError
from tests.support.managed import Managed, Object, differs
from tests.support.wait import until

pytestmark = pytest.mark.cluster

POLICIES = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings"


def _config_map(managed: Managed, name: str = "sample") -> Object:
    metadata = {"name": name, "namespace": managed.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"color": "red", "size": "1"}}


def _gadget(managed: Managed) -> Object:
    metadata = {"name": "sample", "namespace": managed.namespace}
    spec = {"list": ["a", "b"], "ports": [{"port": 9, "name": "nine"}, {"port": 80}]}
    return {"apiVersion": "kube.test/v1", "kind": "Gadget", "metadata": metadata, "spec": spec}


@pytest.fixture(params=["adds a field", "overrides our field"])
def mutation(request: pytest.FixtureRequest, managed: Managed) -> Iterator[str]:
    """A mutating admission policy that rewrites ConfigMaps of the namespace, in force."""
    name = f"{managed.namespace}.kube.test"
    key = "injected" if request.param == "adds a field" else "color"
    patch = {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {"expression": f'Object{{data: {{"{key}": "x"}}}}'},
    }
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"]}
    policy: dict[str, Any] = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "reinvocationPolicy": "Never",
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [rule],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": managed.namespace}},
            },
            "mutations": [patch],
        },
    }
    binding = {**policy, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": name}}
    managed.client.create(POLICIES, policy)
    managed.client.create(BINDINGS, binding)

    def in_force() -> bool:
        probe = {**_config_map(managed, "probe"), "data": {}}
        answer = managed.client.create(managed.path(probe).rsplit("/", 1)[0], probe, {"dryRun": "All"})
        return (answer.get("data") or {}).get(key) == "x"

    until(in_force, timeout=60, message="the policy mutates")
    yield key
    managed.client.delete(f"{BINDINGS}/{name}")
    managed.client.delete(f"{POLICIES}/{name}")


def test_mutated_objects_are_quiet(managed: Managed, mutation: str) -> None:
    """What admission rewrites at every write is not drift, in a full check neither."""
    obj = _config_map(managed)
    assert managed.one(obj).action == "created"
    assert managed.live(obj)["data"][mutation] == "x"
    assert managed.one(obj).action == "unchanged"
    assert managed.writes() == 0
    change = managed.one(obj, full=True)
    assert (change.action, change.drift) == ("unchanged", ())


def test_edits_of_mutated_objects_are_reverted(managed: Managed, mutation: str) -> None:
    """An edit beside the mutated field is found and undone."""
    obj = _config_map(managed)
    managed.one(obj)
    managed.edit("configmap/sample", {"data": {"size": "2", "extra": "foreign"}})
    assert managed.one(obj).drift
    live = managed.live(obj)
    assert live["data"] == {**obj["data"], mutation: "x"}
    managed.one(obj)
    assert managed.writes() == 0


@pytest.mark.parametrize(
    ("patch", "named"),
    [
        ({"spec": {"list": ["a", "b", "c"]}}, "spec.list changed"),
        ({"spec": {"list": ["b", "a"]}}, "spec.list changed"),
        ({"spec": {"mode": "loud"}}, "spec.mode added"),
        ({"spec": {"ports": [{"port": 9, "name": "nine"}]}}, "spec.ports[port=80] removed"),
        ({"spec": {"ports": [{"port": 9, "name": "neun"}, {"port": 80}]}}, "spec.ports[port=9].name changed"),
        (
            {"spec": {"ports": [{"port": 9, "name": "nine"}, {"port": 80}, {"port": 81}]}},
            "spec.ports[port=81].port added",
        ),
    ],
    ids=["atomic list grown", "atomic list turned", "default set", "item removed", "item changed", "item added"],
)
def test_lists_and_defaults_are_restored(managed: Managed, patch: Object, named: str) -> None:
    """Atomic lists, keyed lists and defaulted fields come back to what they were."""
    obj = _gadget(managed)
    managed.one(obj)
    before = managed.live(obj)["spec"]
    managed.edit("gadget/sample", patch)
    drift = managed.one(obj).drift
    assert any(text.startswith(named) for text in drift), drift
    assert managed.live(obj)["spec"] == before
    assert not differs(managed.live(obj), managed.dry_run(obj))
    managed.one(obj)
    assert managed.writes() == 0


def test_a_refusal_never_quotes_a_secret(managed: Managed) -> None:
    """What an API server says of a Secret it cannot decode is told without the value."""
    metadata = {"name": "sample", "namespace": managed.namespace}
    bad = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": ["hunter2hunter2"]}}
    with pytest.raises(Exception, match=r"Secret/.* dry-run failed") as refused:
        managed.one(bad)
    assert "hunter2" not in str(refused.value)
    assert not isinstance(refused.value, KubeError)
