"""What an installation sets for all applies, through whole runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fleetbeat.kube.discovery import Resource
from fleetbeat.kube.metadata import get_metadata
from tests.support.deployed import HUB_SHARD, Deployed

pytestmark = pytest.mark.cluster

CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", True)


def manifest(name: str, namespace: str, **fields: Any) -> str:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}
    return json.dumps(obj | {"data": {"color": "red"}} | fields)


def install(deployed: Deployed, **settings: Any) -> None:
    deployed.ctx.settings = replace(deployed.ctx.settings, **settings)


def data(deployed: Deployed, name: str) -> dict[str, str]:
    found: dict[str, str] = deployed.client.get(f"/api/v1/namespaces/{deployed.namespace}/configmaps/{name}")["data"]
    return found


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"sourceRef": {"kind": "GitRepository", "name": "repo", "namespace": "other"}}, "spec.sourceRef"),
        ({"dependsOn": [{"name": "b", "namespace": "other"}]}, "spec.dependsOn"),
    ],
)
def test_other_namespaces_are_refused(deployed: Deployed, spec: dict[str, Any], told: str) -> None:
    """With the setting, a reference to another namespace is AccessDenied and Stalled; one to the own is not."""
    install(deployed, no_cross_namespace_refs=True)
    deployed.publish("one", {"a/cm.yaml": manifest("a", deployed.namespace)})
    deployed.put("a", **spec)
    deployed.run_due()
    condition = deployed.condition("a")
    assert (condition["status"], condition["reason"]) == ("False", "AccessDenied")
    assert condition["message"].startswith(f"{told}: ")
    assert deployed.condition("a", "Stalled")["status"] == "True"
    own = {key: [{"name": "b"}] if key == "dependsOn" else {"kind": "GitRepository", "name": "repo"} for key in spec}
    deployed.edit("a", **own)
    deployed.run_due()
    assert deployed.condition("a")["reason"] != "AccessDenied"


def test_an_absent_account_is_the_default_one(deployed: Deployed) -> None:
    """What the spec does not name, the setting does; a name in the spec wins."""
    install(deployed, default_service_account="tenant")
    deployed.publish("one", {"a/cm.yaml": manifest("a", deployed.namespace)})
    deployed.put("a")
    deployed.run_due()
    assert f'User "system:serviceaccount:{deployed.namespace}:tenant" cannot' in deployed.condition("a")["message"]
    deployed.edit("a", serviceAccountName="named")
    deployed.run_due()
    assert f'User "system:serviceaccount:{deployed.namespace}:named" cannot' in deployed.condition("a")["message"]


def test_an_overridden_manager_is_undone(deployed: Deployed) -> None:
    """The names of the setting reach the apply: what such a manager added goes."""
    install(deployed, override_managers=("dashboard",))
    deployed.publish("one", {"a/cm.yaml": manifest("a", deployed.namespace)})
    deployed.put("a")
    deployed.run_until_ready("a")
    path = f"/api/v1/namespaces/{deployed.namespace}/configmaps/a"
    deployed.client.patch(path, {"data": {"extra": "1"}}, params={"fieldManager": "dashboard"})
    deployed.again("a")
    assert data(deployed, "a") == {"color": "red"}


def test_kinds_of_the_custom_stage_are_written_although_later_ones_are_refused(deployed: Deployed) -> None:
    """The kinds of the setting reach the apply."""
    install(deployed, custom_apply_stage_kinds=("ConfigMap",))
    bad = manifest("bad", deployed.namespace, kind="Secret", data={"a": 1})
    deployed.publish("one", {"a/cm.yaml": manifest("a", deployed.namespace), "a/bad.yaml": bad})
    deployed.put("a")
    deployed.run_due()
    assert "Secret" in deployed.condition("a")["message"]
    assert data(deployed, "a") == {"color": "red"}


def test_another_tool_is_named(deployed: Deployed) -> None:
    """Whose change was undone, and in which field, is an event of the resource."""
    deployed.publish("one", {"a/cm.yaml": manifest("a", deployed.namespace)})
    deployed.put("a")
    deployed.run_until_ready("a")
    deployed.forget()
    obj = json.loads(manifest("a", deployed.namespace, data={"color": "blue"}))
    deployed.client.apply(f"/api/v1/namespaces/{deployed.namespace}/configmaps/a", obj, "argocd-controller")
    deployed.again("a")
    (told,) = [event["message"] for event in deployed.events() if event["reason"] == "DriftCorrected"]
    changed = "data.color changed by argocd-controller; kustomize-controller owns it again"
    assert told == f"ConfigMap/{deployed.namespace}/a: {changed}"
    assert data(deployed, "a") == {"color": "red"}


def test_ignored_fields_keep_what_others_gave_them(deployed: Deployed) -> None:
    """A foreign value survives a run, which is the last one, and the next commit; a wrong pointer is Stalled."""
    deployed.publish("one", {"a/cm.yaml": manifest("a", deployed.namespace)})
    deployed.put("a", ignore=[{"paths": ["/data/color"], "target": {"kind": "ConfigMap"}}])
    deployed.run_until_ready("a")
    path = f"/api/v1/namespaces/{deployed.namespace}/configmaps/a"
    deployed.client.patch(path, {"data": {"color": "blue"}}, params={"fieldManager": "dashboard"})
    deployed.again("a")
    assert data(deployed, "a") == {"color": "blue"}
    live = get_metadata(deployed.client, CONFIG_MAPS, deployed.namespace, "a")
    memo = json.loads(deployed.state.memos(HUB_SHARD, [deployed.ref("a")])[deployed.ref("a")] or b"")
    assert live is not None
    assert list(memo["fp"].values()) == [live.fingerprint], "the observer would ask for another run"
    deployed.forget()
    deployed.publish("two", {"a/cm.yaml": manifest("a", deployed.namespace, data={"color": "red", "size": "1"})})
    deployed.again("a")
    assert data(deployed, "a") == {"color": "blue", "size": "1"}
    assert not [event for event in deployed.events() if event["reason"] == "DriftCorrected"]
    deployed.edit("a", ignore=[{"paths": ["data"]}])
    deployed.run_due()
    assert "spec.ignore[0].paths" in deployed.condition("a", "Stalled")["message"]
