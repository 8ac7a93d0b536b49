"""A cluster that a ConfigMap describes: tokens of a service account of the hub open it, and nothing is stored."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.deployed import Deployed
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

RBAC = "rbac.authorization.k8s.io"


@pytest.fixture
def described(deployed: Deployed, cluster: Cluster) -> dict[str, str]:
    """The hub under another name, as its own tokens open it; and a service account that may do everything there."""
    account = f"/api/v1/namespaces/{deployed.namespace}/serviceaccounts"
    deployed.client.create(account, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "fleet"}})
    subject = {"kind": "ServiceAccount", "name": "fleet", "namespace": deployed.namespace}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": f"{deployed.namespace}-fleet"}, "roleRef": role, "subjects": [subject]}
    deployed.client.create(
        f"/apis/{RBAC}/v1/clusterrolebindings",
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", **binding},
    )
    review = cluster.api("POST", f"{account}/fleet/token", {"spec": {}})
    return {
        "provider": "generic",
        "address": cluster.url,
        "ca.crt": (cluster.directory / "ca.crt").read_text(),
        "serviceAccountName": "fleet",
        "audiences": "\n".join(review["spec"]["audiences"]),
    }


def describe(deployed: Deployed, data: dict[str, str]) -> None:
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "edge"}, "data": data}
    deployed.client.apply(f"/api/v1/namespaces/{deployed.namespace}/configmaps/edge", obj, "user")


def run(deployed: Deployed) -> dict[str, Any]:
    meta = {"name": "one", "namespace": deployed.namespace}
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"k": "v"}}
    deployed.publish("main@sha1:1", {"a/one.yaml": json.dumps(obj)})
    deployed.put("a", kubeConfig={"configMapRef": {"name": "edge"}})
    deployed.run_due()
    return deployed.condition("a")


def test_objects_are_applied_there(deployed: Deployed, described: dict[str, str]) -> None:
    """From the first object to the last, and the deletion of the resource cleans up."""
    describe(deployed, described)
    assert run(deployed)["status"] == "True", deployed.condition("a")
    path = f"/api/v1/namespaces/{deployed.namespace}/configmaps/one"
    assert deployed.client.get(path)["data"] == {"k": "v"}
    assert deployed.status("a")["history"][0]["metadata"]["cluster"] == "ConfigMap/edge"
    deployed.delete("a")
    deployed.run_due()
    assert deployed.finalized("a")


def test_the_installation_may_name_the_account(deployed: Deployed, described: dict[str, str]) -> None:
    """Where the ConfigMap names none."""
    del described["serviceAccountName"]
    describe(deployed, described)
    deployed.ctx.settings = replace(deployed.ctx.settings, default_kubeconfig_service_account="fleet")
    assert run(deployed)["status"] == "True", deployed.condition("a")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"provider": "gcp"}, "spec.kubeConfig.configMapRef 'edge': provider 'gcp' is not supported"),
        ({"address": ""}, "spec.kubeConfig.configMapRef 'edge': address is missing"),
        ({"address": "http://10.0.0.1"}, "address is not of the form https://host:port"),
        ({"serviceAccountName": "nobody"}, "/nobody not found"),
        ({"audiences": "https://elsewhere.example.com"}, "Unauthorized"),
    ],
)
def test_what_cannot_be_used_is_told(
    deployed: Deployed, described: dict[str, str], change: dict[str, str], says: str
) -> None:
    """With the key that is wrong."""
    describe(deployed, described | change)
    ready = run(deployed)
    assert ready["status"] == "False"
    assert says in ready["message"]


def test_a_description_that_is_missing(deployed: Deployed) -> None:
    """Its name is told."""
    assert f"spec.kubeConfig.configMapRef: ConfigMap {deployed.namespace}/edge not found" in run(deployed)["message"]
