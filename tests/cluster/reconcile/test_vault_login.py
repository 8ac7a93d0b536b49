"""Decryption by Vault without a token in any Secret: a service account of the hub logs in with a token of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile.decryption import post
from fleetbeat.reconcile.keylogins import CONFIG, VaultLogin
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.render.sops.keys import CannotOpen
from tests.support.deployed import Deployed
from tests.support.keyservices import TOKEN, KeyServices
from tests.support.sopstool import SopsTool
from tests.support.wait import until

pytestmark = pytest.mark.cluster

RBAC = "rbac.authorization.k8s.io"


@pytest.fixture
def vault(deployed: Deployed) -> Iterator[KeyServices]:
    """It asks the hub whose a token is, for its own address alone, as Vault's `kubernetes` method does."""
    running = KeyServices()

    def reviews(role: str, jwt: str) -> bool:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
        spec = {"token": jwt, "audiences": [running.url]}
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        status = deployed.client.create(path, {**body, "spec": spec})["status"]
        user = status.get("user", {}).get("username", "")
        return bool(status.get("authenticated")) and role == "_".join(user.split(":")[2:])

    running.reviews = reviews
    yield running
    running.close()


@pytest.fixture
def listed(deployed: Deployed, vault: KeyServices) -> Iterator[str]:
    """The operator's list, which the installation names."""
    _list(deployed, vault.url)
    settings = deployed.ctx.settings
    deployed.ctx.settings = replace(settings, sops_vault_config_map=f"{deployed.namespace}/vaults")
    yield f"{deployed.namespace}/vaults"
    deployed.ctx.settings = settings


def _list(deployed: Deployed, address: str) -> None:
    text = json.dumps({"instances": [{"address": address, "loginPath": "team/auth/kubernetes/login"}]})
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "vaults"}}
    path = f"/api/v1/namespaces/{deployed.namespace}/configmaps/vaults"
    deployed.client.apply(path, obj | {"data": {CONFIG: text}}, "operator")


def _account(deployed: Deployed, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    deployed.client.create(f"/api/v1/namespaces/{deployed.namespace}/serviceaccounts", body)


@pytest.fixture
def sealed(deployed: Deployed, vault: KeyServices, listed: str, tmp_path: Path) -> Deployed:
    """A Secret that only that Vault opens, of a Kustomization that names a service account."""
    tool = SopsTool(tmp_path)
    tool.env = {"VAULT_TOKEN": TOKEN}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"k": "hunter2"}}
    text = tool.object(json.dumps(secret), "login.json", hc_vault_transit_uri=f"{vault.url}/v1/transit/keys/app")
    deployed.publish("main@sha1:1", {"a/kustomization.yaml": "resources: [login.json]", "a/login.json": text})
    _account(deployed, "sops")
    decryption = {"provider": "sops", "serviceAccountName": "sops"}
    deployed.put("a", targetNamespace=deployed.namespace, decryption=decryption)
    return deployed


def test_the_account_logs_in_where_the_operator_says(sealed: Deployed, vault: KeyServices) -> None:
    """In its own role, with a token for that server alone; a server that is not listed hears nothing."""
    sealed.run_due()
    sealed.settle()
    assert sealed.condition("a")["status"] == "True"
    (login,) = [request for request in vault.seen if request[0].endswith("/login")]
    assert login[0] == "/v1/team/auth/kubernetes/login"
    assert login[2]["role"] == f"{sealed.namespace}_sops"
    _list(sealed, "https://another.example.com")
    asked = len(vault.seen)
    told = sealed.again("a")
    assert told["reason"] == "BuildFailed"
    assert f"ConfigMap {sealed.namespace}/vaults lists no Vault server {vault.url}" in told["message"]
    assert len(vault.seen) == asked


def test_a_token_of_the_secret_comes_first(sealed: Deployed, vault: KeyServices) -> None:
    """Then nobody logs in."""
    sealed.secret("keys", **{"sops.vault-token": TOKEN})
    both = {"provider": "sops", "serviceAccountName": "sops", "secretRef": {"name": "keys"}}
    sealed.edit("a", decryption=both)
    sealed.settle()
    assert sealed.condition("a")["status"] == "True"
    assert not [request for request in vault.seen if request[0].endswith("/login")]


def test_an_account_that_vault_does_not_know(sealed: Deployed, vault: KeyServices) -> None:
    """The message names role and server, and holds no token."""
    vault.reviews = lambda role, jwt: False
    sealed.run_due()
    told = sealed.condition("a")
    assert f"login as {sealed.namespace}_sops at team/auth/kubernetes/login: the server answers 403" in told["message"]
    (login,) = [request for request in vault.seen if request[0].endswith("/login")]
    assert login[2]["jwt"] not in repr(sealed.events()) + told["message"]


@pytest.mark.parametrize("name", ["none", ""])
def test_who_cannot_have_a_token(sealed: Deployed, name: str) -> None:
    """An account that does not exist, and a worker that is no service account, are told by name."""
    sealed.edit("a", decryption={"provider": "sops", "serviceAccountName": name} if name else {"provider": "sops"})
    sealed.run_due()
    expected = f"ServiceAccount {sealed.namespace}/none not found" if name else "the worker is no service account"
    assert expected in sealed.condition("a")["message"]


@pytest.mark.parametrize("text", ["instances: [{address: x}]", "a: [", "- x"])
def test_a_list_that_cannot_be_read(sealed: Deployed, text: str) -> None:
    """Is told by the name of its ConfigMap."""
    path = f"/api/v1/namespaces/{sealed.namespace}/configmaps/vaults"
    sealed.client.patch(path, {"data": {CONFIG: text}})
    sealed.run_due()
    assert f"ConfigMap {sealed.namespace}/vaults: key 'config.yaml'" in sealed.condition("a")["message"]


def _may_ask_for_tokens(client: KubeClient, namespace: str) -> bool:
    asked = {"namespace": namespace, "verb": "create", "resource": "serviceaccounts", "subresource": "token"}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    review = client.create(path, body | {"spec": {"resourceAttributes": asked}})
    return bool(review["status"]["allowed"])


def test_the_worker_logs_in_as_itself(sealed: Deployed, vault: KeyServices, listed: str) -> None:
    """Where no account is named: as the service account that it is on the hub."""
    _account(sealed, "worker")
    subject = {"kind": "ServiceAccount", "name": "worker", "namespace": sealed.namespace}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding"}
    body = {**binding, "metadata": {"name": f"{sealed.namespace}-worker"}, "roleRef": role, "subjects": [subject]}
    sealed.client.create(f"/apis/{RBAC}/v1/clusterrolebindings", body)
    worker: KubeClient = sealed.client.impersonate(f"system:serviceaccount:{sealed.namespace}:worker")
    until(lambda: _may_ask_for_tokens(worker, sealed.namespace), message="the binding counts")
    login = VaultLogin(HubReader(worker), listed, None, post)
    assert login(vault.url) == TOKEN
    assert vault.seen[-1][2]["role"] == f"{sealed.namespace}_worker"
    with pytest.raises(CannotOpen, match="lists no Vault server"):
        login(f"{vault.url}/")
