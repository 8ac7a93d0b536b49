"""The vendors' own SDKs against servers of this machine that play the vendors."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from fleetbeat.errors import AuthenticationFailed, UnsupportedProvider
from fleetbeat.sources.credentials import Proxy
from fleetbeat.sources.git import vendors
from fleetbeat.sources.tokens import TOKENS
from tests.support.hostile import reply, scripted_server

pytestmark = pytest.mark.unit

CODECOMMIT = "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/app"
DEVOPS = "https://dev.azure.com/org/project/_git/app"


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No login of another test, no identity of this machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    forget()
    yield
    forget()


def forget() -> None:
    vendors._session.cache_clear()
    TOKENS.clear()


def signed(secret: str, stamp: str) -> str:
    """AWS's signature worked out by the rules of its documentation."""
    host, path = urlsplit(CODECOMMIT).netloc, urlsplit(CODECOMMIT).path
    scope = f"{stamp[:8]}/eu-west-1/codecommit/aws4_request"
    canonical = hashlib.sha256(f"GIT\n{path}\n\nhost:{host}\n\nhost\n".encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{canonical}".encode(), "sha256").hex()


def test_aws_signs_the_repositorys_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the keys of the environment; one signature serves several looks."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    account = vendors.account_of("aws", CODECOMMIT, None)
    stamp, _, signature = (account.password or "").partition("Z")
    assert (account.username, signature) == ("key", signed("hidden", stamp))
    made = datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - made).total_seconds()) < 60
    assert vendors.account_of("aws", CODECOMMIT, None) == account
    other = vendors.account_of("aws", f"{CODECOMMIT}2", None)
    assert other.password != account.password and other.fingerprint != account.fingerprint
    assert "hidden" not in repr(account)


def test_aws_takes_the_role_of_the_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A token of the Pod's ServiceAccount is exchanged at STS, by the SDK."""
    ends = datetime.fromtimestamp(time.time() + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = "<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>hidden</SecretAccessKey><SessionToken>ses</SessionToken>"
    body = (
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<AssumeRoleWithWebIdentityResult><Credentials>{fields}<Expiration>{ends}</Expiration></Credentials>"
        "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )
    asked: list[dict[str, list[str]]] = []

    def sts(handler: BaseHTTPRequestHandler) -> None:
        asked.append(parse_qs(handler.rfile.read(int(handler.headers["Content-Length"])).decode()))
        reply(handler, body.encode(), kind="text/xml")

    (tmp_path / "token").write_text("projected")
    with scripted_server(sts) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/fleet")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        account = vendors.account_of("aws", CODECOMMIT, None)
    stamp, _, signature = (account.password or "").partition("Z")
    assert (account.username, signature) == ("ASIA%ses", signed("hidden", stamp))
    assert [one["WebIdentityToken"] for one in asked] == [["projected"]]


def test_azure_gives_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure's library asks for the managed identity, once for two runs, and for Azure DevOps only."""
    paths: list[str] = []

    def identity(handler: BaseHTTPRequestHandler) -> None:
        paths.append(handler.path)
        found = {"access_token": "entra", "expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"}
        reply(handler, json.dumps(found).encode(), kind="application/json")

    with scripted_server(identity) as (url, _):
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/identity")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        account = vendors.account_of("azure", DEVOPS, None)
        assert vendors.account_of("azure", DEVOPS, None) == account
    assert account.authorization == "Bearer entra"
    (resource,) = [parse_qs(urlsplit(path).query)["resource"] for path in paths]
    assert resource == ["499b84ac-1321-427f-aa17-267ca6975798"]


@pytest.mark.parametrize(("provider", "url"), [("aws", CODECOMMIT), ("azure", DEVOPS)])
def test_worker_without_an_identity_is_told_so(provider: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AuthenticationFailed, soon; asked again the next time."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    for _ in range(2):
        with pytest.raises(AuthenticationFailed, match=f"spec.provider {provider}: .*own identity"):
            vendors.account_of(provider, url, Proxy("http://proxy.invalid:1"))


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        ("aws", "https://git.example/v1/repos/app"),
        ("aws", "https://git-codecommit.eu-west-1.amazonaws.com.evil.example/app"),
        ("aws", "http://git-codecommit.eu-west-1.amazonaws.com/v1/repos/app"),
        ("aws", "ssh://git@git-codecommit.eu-west-1.amazonaws.com/v1/repos/app"),
        ("aws", "https://git-codecommit.eu-west-1.amazonaws.com:8443/v1/repos/app"),
        ("azure", "https://evil-dev.azure.com/org/app"),
        ("azure", "https://visualstudio.com.evil.example/app"),
        ("azure", "http://dev.azure.com/org/app"),
    ],
)
def test_workers_identity_goes_to_the_vendor_only(provider: str, url: str) -> None:
    """Another host is refused before anything is asked."""
    with pytest.raises(UnsupportedProvider, match="does not serve"):
        vendors.account_of(provider, url, None)


def test_missing_package_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to guess."""
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(UnsupportedProvider, match=r"fleetbeat\[azure\]"):
        vendors.account_of("azure", DEVOPS, None)
