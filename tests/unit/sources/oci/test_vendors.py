"""The vendors' own SDKs against servers of this machine that play the vendors."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from fleetbeat.artifacts import store
from fleetbeat.errors import AuthenticationFailed, OCIPullFailed, UnsupportedProvider
from fleetbeat.sources.credentials import HttpCredentials
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci import vendors
from fleetbeat.sources.oci.login import Access, Login
from fleetbeat.sources.oci.reference import Repository
from fleetbeat.sources.oci.wire import Wire
from tests.support.fakeregistry import FakeRegistry, Reply
from tests.support.vendorapis import key_file

pytestmark = pytest.mark.unit

ECR = "oci://123456789012.dkr.ecr.eu-west-1.amazonaws.com/apps"
GAR = "oci://europe-docker.pkg.dev/project/apps/shop"
ACR = "oci://fleet.azurecr.io/apps"


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No login of another test, no identity of this machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    store.session.cache_clear()
    vendors._held.clear()
    yield
    store.session.cache_clear()
    vendors._held.clear()


def log_in(provider: str, url: str, access: Access | None = None) -> Login:
    """The worker's login at the registry of that URL."""
    return vendors.login(provider, Repository.parse(url), access or Access(), Deadline.after(20, OCIPullFailed))


def answer(fields: object) -> Reply:
    """JSON."""
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(fields).encode())


def test_aws_gives_a_password_that_is_kept(fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECR's API is asked once for two runs, in the region of the registry."""
    token = base64.b64encode(b"AWS:secret").decode()
    fake.on("/", answer({"authorizationData": [{"authorizationToken": token, "expiresAt": time.time() + 3600}]}))
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", f"http://{fake.host}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    assert log_in("aws", ECR) == log_in("aws", f"{ECR}/other") == Login("AWS", "secret")
    (asked,) = fake.seen
    assert asked.headers["x-amz-target"].endswith("GetAuthorizationToken")
    assert "/eu-west-1/ecr/" in asked.headers["authorization"]


def test_gcp_gives_a_token(fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Google's library signs for the service account of the environment."""
    (tmp_path / "account.json").write_text(json.dumps(key_file(f"http://{fake.host}/token")))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    fake.on("/token", answer({"access_token": "secret", "expires_in": 3600, "token_type": "Bearer"}))
    assert log_in("gcp", GAR) == log_in("gcp", GAR) == Login("oauth2accesstoken", "secret")
    assert [parse_qs(asked.body.decode())["grant_type"] for asked in fake.seen] == [
        ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    ]


def test_azure_gives_a_token_that_the_registry_exchanges(fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure's library asks for the managed identity; the registry then gives an identity token for it."""
    fake.on("/identity", answer({"access_token": "entra", "expires_on": str(int(time.time()) + 3600)}))
    fake.on("/oauth2/exchange", answer({"refresh_token": "secret"}))
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://{fake.host}/identity")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    wire = Wire(fake.host, Access(insecure=True), Deadline.after(20, OCIPullFailed))
    held = vendors._azure("fleet.azurecr.io", wire, None)
    assert held.login == Login(identity_token="secret")
    identity, exchange = fake.seen[0], fake.seen[-1]
    assert parse_qs(identity.query)["resource"] == ["https://management.azure.com"]
    assert parse_qs(exchange.body.decode())["access_token"] == ["entra"]


@pytest.mark.parametrize(("provider", "url"), [("aws", ECR), ("gcp", GAR), ("azure", ACR)])
def test_worker_without_an_identity_is_told_so(
    provider: str, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """AuthenticationFailed, soon."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    with pytest.raises(AuthenticationFailed, match="own identity"):
        log_in(provider, url)


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        ("aws", "oci://ghcr.io/apps"),
        ("aws", "oci://123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example/apps"),
        ("gcp", "oci://evil-gcr.io/apps"),
        ("gcp", "oci://docker.pkg.dev.evil.example/apps"),
        ("azure", "oci://azurecr.io.evil.example/apps"),
        ("azure", "oci://fleet.azurecr.io:8443/apps"),
    ],
)
def test_workers_identity_goes_to_the_vendor_only(provider: str, url: str) -> None:
    """Another host is refused before anything is asked."""
    with pytest.raises(UnsupportedProvider, match="does not serve"):
        log_in(provider, url)


@pytest.mark.parametrize("access", [Access(insecure=True), Access(trust=HttpCredentials(ca=b"x"))])
def test_workers_identity_needs_the_vendors_own_certificate(access: Access) -> None:
    """A tenant's authority could let anybody play the vendor."""
    with pytest.raises(UnsupportedProvider, match="excludes"):
        log_in("aws", ECR, access)


def test_missing_package_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to guess."""
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(UnsupportedProvider, match=r"fleetbeat\[gcp\]"):
        log_in("gcp", GAR)
