"""Key services asked as a service account: through the vendors' real SDKs, with tokens of a scripted hub."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import orjson
import pytest

from fleetbeat.kube import vendorlogins
from fleetbeat.reconcile.keylogins import CloudLogin
from fleetbeat.render.engine import Engine
from fleetbeat.render.sops.keys import Keys, keys_of
from tests.support.hostile import reply, scripted_server
from tests.support.keyservices import KeyServices
from tests.support.scriptedhub import scripted_hub
from tests.support.sopstool import SopsTool
from tests.support.vendorapis import GOOGLE_ACCOUNT, assumed_role, key_file, scripted_azure, scripted_google
from tests.unit.render.sops.test_services import ACCESS, ARN, GCP, TEXT, opened, refused, rewrapped, services

__all__ = ["services"]

pytestmark = pytest.mark.unit

ROLE = "arn:aws:iam::123456789012:role/sops"
PROVIDER = "projects/123/locations/global/workloadIdentityPools/pool/providers/hub"
AZURE = {vendorlogins.TENANT: "tenant", vendorlogins.CLIENT: "client"}


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, list[str]]]]:
    """Amazon's token service; collects the forms that it was sent."""
    forms: list[dict[str, list[str]]] = []

    def serve(handler: BaseHTTPRequestHandler) -> None:
        forms.append(parse_qs(handler.rfile.read(int(handler.headers["Content-Length"])).decode()))
        reply(handler, assumed_role("ROLE"), kind="text/xml")

    with scripted_server(serve) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        yield forms


def test_aws(engine: Engine, tool: SopsTool, services: KeyServices, sts: list[dict[str, list[str]]]) -> None:
    """In the account's role, asked for once a run; an access key of the Secret comes first."""
    tool.env = {"AWS_ACCESS_KEY_ID": "AKIAWORKER", "AWS_SECRET_ACCESS_KEY": "hidden"}
    sealed = tool.encrypt(TEXT, kms=ARN)
    with scripted_hub({vendorlogins.ROLE: ROLE}) as hub:
        login = CloudLogin(hub, "apps", "sops")
        for _ in range(2):
            assert opened(engine, sealed, Keys(login=login)) == TEXT
        assert "Credential=ROLE/" in services.seen[-1][1]["authorization"]
        assert [(form["RoleArn"], form["WebIdentityToken"]) for form in sts] == [([ROLE], ["for-sts.amazonaws.com"])]
        stored = Keys(aws=keys_of({"sops.aws-kms": ACCESS}, "Secret a/b").aws, login=login)
        assert opened(engine, sealed, stored) == TEXT
        assert "AKIAEXAMPLE" in services.seen[-1][1]["authorization"]


@pytest.mark.parametrize("kind", ["kms", "gcp_kms", "azure_kv"])
def test_an_account_without_an_identity(
    engine: Engine, tool: SopsTool, services: KeyServices, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The message names field and annotation; the worker's own identity does not stand in."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWORKER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    vendorlogins._home.cache_clear()
    entry = {
        "kms": {"arn": ARN},
        "gcp_kms": {"resource_id": GCP},
        "azure_kv": {"vault_url": "https://fleet.vault.azure.net", "name": "sops", "version": "abc123"},
    }[kind]
    annotation = {"kms": vendorlogins.ROLE, "gcp_kms": vendorlogins.PROVIDER, "azure_kv": vendorlogins.TENANT}[kind]
    with scripted_hub({}) as hub:
        keys = Keys(login=CloudLogin(hub, "apps", "sops"), post=services.post)
        message = refused(engine, rewrapped(tool, kind, entry), keys)
    assert "spec.decryption.serviceAccountName: " in message
    assert annotation in message
    assert services.seen == []


def test_gcp(
    engine: Engine, tool: SopsTool, services: KeyServices, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the Google account of the annotation, with a token for key services alone; a key file comes first."""
    sealed = rewrapped(tool, "gcp_kms", {"resource_id": GCP})
    annotations = {vendorlogins.PROVIDER: PROVIDER, vendorlogins.GOOGLE_ACCOUNT: GOOGLE_ACCOUNT}
    services.tokens.add("deployer")
    with scripted_google(monkeypatch, tmp_path) as google, scripted_hub(annotations) as hub:
        login = CloudLogin(hub, "apps", "sops")
        assert opened(engine, sealed, Keys(login=login, post=services.post)) == TEXT
        exchange, impersonation = google.seen
        assert parse_qs(exchange.body.decode())["subject_token"] == [f"for-//iam.googleapis.com/{PROVIDER}"]
        assert orjson.loads(impersonation.body)["scope"] == ["https://www.googleapis.com/auth/cloudkms"]
        account = key_file(f"{services.url}/token")
        assert opened(engine, sealed, Keys(gcp=account, login=login, post=services.post)) == TEXT
        assert len(google.seen) == 2


def test_azure(
    engine: Engine, tool: SopsTool, services: KeyServices, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the identity of the annotations, by the account's own token."""
    entry = {"vault_url": "https://fleet.vault.azure.net", "name": "sops", "version": "abc123"}
    sealed = rewrapped(tool, "azure_kv", entry, base64.urlsafe_b64encode)
    services.tokens.add("exchanged")
    with scripted_azure(monkeypatch, tmp_path) as azure, scripted_hub(AZURE) as hub:
        assert opened(engine, sealed, Keys(login=CloudLogin(hub, "apps", "sops"), post=services.post)) == TEXT
    (exchange,) = [parse_qs(one.body.decode()) for one in azure.seen if one.method == "POST"]
    assert exchange["client_assertion"] == ["for-api://AzureADTokenExchange"]
    assert exchange["scope"] == ["https://vault.azure.net/.default"]
