"""The APIs of Azure and Google by script, as far as workers log in there and ask where a cluster is."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fleetbeat.kube import aks, gke, vendorlogins
from tests.support.fakeregistry import FakeRegistry, Reply
from tests.support.scriptedhub import ENDS
from tools.pki import Authority

AKS = (
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/fleet/providers"
    "/Microsoft.ContainerService/managedClusters/prod"
)
GKE = "projects/fleet/locations/europe-west1/clusters/prod"
GOOGLE_ACCOUNT = "deployer@fleet.iam.gserviceaccount.com"


def answer(fields: dict[str, Any]) -> Reply:
    """As JSON."""
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(fields).encode())


def kubeconfig(server: str, ca: bytes) -> dict[str, str]:
    """As Azure gives it: its user logs in by a tool."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()}
    document = {
        "current-context": "prod",
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me"}}],
        "clusters": [{"name": "prod", "cluster": cluster}],
        "users": [{"name": "me", "user": {"exec": {"command": "kubelogin"}}}],
    }
    return {"name": "clusterUser", "value": base64.b64encode(yaml.safe_dump(document).encode()).decode()}


def key_file(token_uri: str) -> dict[str, str]:
    """Of a Google service account, whose tokens are given there."""
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "client_email": "worker@fleet.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "token_uri": token_uri,
    }


def assumed_role(key_id: str) -> bytes:
    """The answer of Amazon's token service to a web identity: an access key of that id."""
    key = f"<AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>hidden</SecretAccessKey>"
    credentials = f"<Credentials>{key}<SessionToken>session</SessionToken><Expiration>{ENDS}</Expiration></Credentials>"
    result = f"<AssumeRoleWithWebIdentityResult>{credentials}</AssumeRoleWithWebIdentityResult>"
    space = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
    return f"<AssumeRoleWithWebIdentityResponse {space}>{result}</AssumeRoleWithWebIdentityResponse>".encode()


@contextmanager
def scripted_azure(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[FakeRegistry]:
    """Azure's management, the worker's managed identity and Entra, all by TLS; the cluster `AKS` has no endpoint yet.

    Tokens are `own <scope's resource>` and `exchanged`.
    """
    authority = Authority("azure")
    (folder / "azure.pem").write_bytes(authority.certificate)
    with FakeRegistry(authority.server("127.0.0.1")) as vendor:
        url = f"https://{vendor.host}"
        for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/identity")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "azure.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "azure.pem"))
        monkeypatch.setitem(aks.MANAGEMENT, "127.0.0.1", url)
        soon = str(int(time.time()) + 3600)
        vendor.on(
            "/identity",
            lambda asked: answer({"access_token": f"own {parse_qs(asked.query)['resource'][0]}", "expires_on": soon}),
        )
        login = {"token_endpoint": f"{url}/tenant/token", "issuer": f"{url}/tenant", "authorization_endpoint": url}
        exchanged = answer({"access_token": "exchanged", "expires_in": 3600, "token_type": "Bearer"})
        vendor.on("/tenant/v2.0/.well-known/openid-configuration", answer(login))
        vendor.on("/tenant/token", exchanged)
        vendor.on("/tenant/oauth2/v2.0/token", exchanged)
        vendor.on(AKS, answer({"properties": {"aadProfile": {"managed": True}}}))
        vendor.on(f"{AKS}/listClusterUserCredential", answer({"kubeconfigs": []}))
        yield vendor


@contextmanager
def scripted_google(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[FakeRegistry]:
    """Google's APIs; the worker's identity is a key file, it runs in no cluster of Google, `GKE` has no endpoint yet.

    Tokens are `own`, `exchanged`, and `deployer` for the account `GOOGLE_ACCOUNT`.
    """
    with FakeRegistry() as vendor:
        url = f"http://{vendor.host}"
        (folder / "account.json").write_text(json.dumps(key_file(f"{url}/token")))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "account.json"))
        monkeypatch.setenv("GCE_METADATA_HOST", vendor.host)
        monkeypatch.setattr(gke, "API", url)
        for name in ("EXCHANGE", "IAM"):
            monkeypatch.setattr(vendorlogins, name, url)
        vendor.on("/token", answer({"access_token": "own", "expires_in": 3600, "token_type": "Bearer"}))
        kind = "urn:ietf:params:oauth:token-type:access_token"
        exchanged = {"access_token": "exchanged", "issued_token_type": kind, "expires_in": 3600, "token_type": "Bearer"}
        vendor.on("/v1/token", answer(exchanged))
        impersonated = f"/v1/projects/-/serviceAccounts/{GOOGLE_ACCOUNT}:generateAccessToken"
        vendor.on(impersonated, answer({"accessToken": "deployer", "expireTime": ENDS}))
        vendor.on(f"/v1/{GKE}", answer({"status": "PROVISIONING"}))
        vendorlogins._home.cache_clear()
        yield vendor
        vendorlogins._home.cache_clear()
