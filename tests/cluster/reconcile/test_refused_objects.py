"""A run of which the API server refuses a part: what was written, what is remembered of it, and what is asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from fleetbeat.api.refs import ObjectId
from fleetbeat.kube.discovery import Resource
from fleetbeat.kube.errors import NotFound
from fleetbeat.kube.metadata import get_metadata
from tests.support.deployed import HUB_SHARD, Deployed
from tests.support.wait import until
from tests.support.webhook import REFUSED, refusing

pytestmark = pytest.mark.cluster

CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", True)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False)


def config_map(deployed: Deployed, name: str, **data: str) -> str:
    meta = {"name": name, "namespace": deployed.namespace}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})


def cluster_role(deployed: Deployed, verb: str) -> str:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]
    meta = {"name": deployed.namespace}
    return json.dumps({"apiVersion": ROLES.api_version, "kind": "ClusterRole", "metadata": meta, "rules": rules})


def push(deployed: Deployed, revision: str, files: Mapping[str, str]) -> dict[str, Any]:
    """A commit with these files, and one run of it; its Ready condition."""
    deployed.publish(revision, {f"a/{name}.yaml": text for name, text in files.items()})
    return deployed.again("a")


def remembered(deployed: Deployed) -> dict[str, str]:
    """Fingerprints by name, as the observer reads them."""
    memo = deployed.state.memos(HUB_SHARD, [deployed.ref("a")])[deployed.ref("a")]
    assert memo is not None
    found: dict[str, str] = json.loads(memo)["fp"]
    return {ObjectId.from_inventory_id(key.rpartition("@")[0]).name: seen for key, seen in found.items()}


def live(deployed: Deployed, resource: Resource, name: str) -> str:
    found = get_metadata(deployed.client, resource, deployed.namespace, name)
    assert found is not None
    return found.fingerprint


def test_what_a_failed_apply_wrote_is_remembered(deployed: Deployed) -> None:
    """The observer takes it for ours, and the next try neither looks at it by dry run nor writes it again."""
    deployed.put("a")
    good = {"role": cluster_role(deployed, "get"), "cm": config_map(deployed, "one", color="red")}
    assert push(deployed, "1", good)["status"] == "True"
    bad = {"role": cluster_role(deployed, "list"), "cm": config_map(deployed, "one", **{"not/valid": "x"})}
    assert push(deployed, "2", bad)["status"] == "False"
    assert remembered(deployed) == {
        deployed.namespace: live(deployed, ROLES, deployed.namespace),
        "one": live(deployed, CONFIG_MAPS, "one"),
    }
    stats = deployed.ctx.hub.stats
    stats.clear()
    assert deployed.again("a")["status"] == "False"
    assert stats["PATCH", "clusterroles"] == 0
    assert push(deployed, "3", {**good, "role": cluster_role(deployed, "list")})["status"] == "True"
    deployed.client.delete(ROLES.path(name=deployed.namespace))


def test_valid_objects_are_applied_when_the_annotation_says_so(deployed: Deployed) -> None:
    """Ready is False and names each refused object, which keeps its form; what left Git waits for a success."""
    deployed.put("a")
    deployed.annotate("a", apply_valid="enabled")
    names = ("one", "two", "three", "left")
    assert push(deployed, "1", {name: config_map(deployed, name, v="1") for name in names})["status"] == "True"
    with refusing(deployed.client, deployed.namespace):
        changed = {name: config_map(deployed, name, v="2", **{REFUSED: "x"}) for name in ("one", "two")}
        changed["three"] = config_map(deployed, "three", v="2")
        deployed.forget()

        def refused() -> bool:
            condition = push(deployed, "2", changed)
            return condition["status"] == "False" and condition["reason"] == "ReconciliationFailed"

        until(refused, message="the webhook denies")
        message = deployed.condition("a")["message"]
        assert [line.partition(" dry-run failed")[0] for line in message.splitlines()] == [
            f"ConfigMap/{deployed.namespace}/{name}" for name in ("one", "two")
        ]
        assert {name: data(deployed, name).get("v") for name in names} == {
            "one": "1",
            "two": "1",
            "three": "2",
            "left": "1",
        }
        assert remembered(deployed)["three"] == live(deployed, CONFIG_MAPS, "three")
        entries = deployed.status("a")["inventory"]["entries"]
        assert {entry["id"].split("_")[1] for entry in entries} == set(names)
        deployed.annotate("a", apply_valid="disabled")
        deployed.publish("3", {f"a/{name}.yaml": text for name, text in changed.items()} | stage(deployed))
        deployed.again("a")
        assert data(deployed, "three") == {"v": "2"}
    fixed = {name: config_map(deployed, name, v="3") for name in ("one", "two", "three")}
    assert push(deployed, "4", fixed)["status"] == "True"
    with pytest.raises(NotFound):
        data(deployed, "left")


def stage(deployed: Deployed) -> dict[str, str]:
    """A valid change that must not be written once the annotation is gone."""
    return {"a/three.yaml": config_map(deployed, "three", v="3")}


def data(deployed: Deployed, name: str) -> dict[str, str]:
    found: dict[str, str] = deployed.client.get(CONFIG_MAPS.path(deployed.namespace, name))["data"]
    return found
