"""A cluster that a ConfigMap describes: tokens of a service account of the hub open it, and nothing is stored."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetbeat.reconcile import targets
from tests.support.deployed import Deployed
from tests.support.describedhub import describe_hub
from tests.support.fakeregistry import Reply
from tests.support.vendorapis import AKS, GKE, answer, kubeconfig, scripted_azure, scripted_google
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster


@pytest.fixture
def described(deployed: Deployed, cluster: Cluster) -> dict[str, str]:
    """The hub under another name."""
    return describe_hub(deployed.client, deployed.namespace, cluster)


@pytest.fixture
def aks(
    described: dict[str, str], cluster: Cluster, deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """The same through Azure, which gives the worker's own identity a token that the cluster takes."""
    with scripted_azure(monkeypatch, tmp_path) as vendor:
        found = kubeconfig(cluster.url, described["ca.crt"].encode())
        vendor.on(f"{AKS}/listClusterUserCredential", answer({"kubeconfigs": [found]}))
        soon = str(int(time.time()) + 600)
        vendor.on("/identity", answer({"access_token": cluster.token(deployed.namespace, "fleet"), "expires_on": soon}))
        yield {"provider": "azure", "cluster": AKS}


@pytest.fixture
def gke(
    described: dict[str, str], cluster: Cluster, deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """The same through Google."""
    with scripted_google(monkeypatch, tmp_path) as vendor:
        ca = base64.b64encode(described["ca.crt"].encode()).decode()
        vendor.on(f"/v1/{GKE}", answer({"endpoint": cluster.url, "masterAuth": {"clusterCaCertificate": ca}}))
        vendor.on("/token", answer({"access_token": cluster.token(deployed.namespace, "fleet"), "expires_in": 600}))
        yield {"provider": "gcp", "cluster": GKE}


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


@pytest.mark.parametrize("vendor", ["aks", "gke"])
def test_a_vendors_cluster(deployed: Deployed, vendor: str, request: pytest.FixtureRequest) -> None:
    """Is found and entered by its vendor's name for it alone."""
    describe(deployed, request.getfixturevalue(vendor))
    assert run(deployed)["status"] == "True", deployed.condition("a")


def test_a_cluster_that_moves_is_found_again(
    deployed: Deployed, described: dict[str, str], cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What its vendor said is believed for a while only."""
    with scripted_azure(monkeypatch, tmp_path) as vendor:
        soon = str(int(time.time()) + 600)
        token = cluster.token(deployed.namespace, "fleet")
        vendor.on("/identity", answer({"access_token": token, "expires_on": soon}))
        before = kubeconfig("https://127.0.0.1:1", described["ca.crt"].encode())
        vendor.on(f"{AKS}/listClusterUserCredential", answer({"kubeconfigs": [before]}))
        describe(deployed, {"provider": "azure", "cluster": AKS})
        assert "https://127.0.0.1:1 cannot be reached" in run(deployed)["message"]
        after = kubeconfig(cluster.url, described["ca.crt"].encode())
        vendor.on(f"{AKS}/listClusterUserCredential", answer({"kubeconfigs": [after]}))
        deployed.request("a")
        deployed.run_due()
        assert "https://127.0.0.1:1 cannot be reached" in deployed.condition("a")["message"]
        monkeypatch.setattr(targets, "DESCRIPTION_LASTS", 0.0)
        deployed.request("a")
        deployed.run_due()
        assert deployed.condition("a")["status"] == "True", deployed.condition("a")


def test_what_a_vendor_refuses_is_told(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the field, and before any cluster is asked; so is a service account that is not there."""
    with scripted_azure(monkeypatch, tmp_path) as vendor:
        vendor.on(AKS, Reply(403))
        describe(deployed, {"provider": "azure", "cluster": AKS})
        says = "spec.kubeConfig.configMapRef 'edge': AKS cluster prod: the vendor's API answers 403"
        assert run(deployed)["message"] == says
        describe(deployed, {"provider": "azure", "cluster": AKS, "serviceAccountName": "nobody"})
        deployed.request("a")
        deployed.run_due()
        missing = f"configMapRef 'edge': ServiceAccount {deployed.namespace}/nobody not found"
        assert missing in deployed.condition("a")["message"]


def test_the_installation_may_name_the_account(deployed: Deployed, described: dict[str, str]) -> None:
    """Where the ConfigMap names none."""
    del described["serviceAccountName"]
    describe(deployed, described)
    deployed.ctx.settings = replace(deployed.ctx.settings, default_kubeconfig_service_account="fleet")
    assert run(deployed)["status"] == "True", deployed.condition("a")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"provider": "ibm"}, "spec.kubeConfig.configMapRef 'edge': provider 'ibm' is not supported"),
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
