"""Key services: the vendors' real SDKs and sops itself against a local server that speaks their protocols."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import yaml
from pyrage import decrypt

from fleetbeat.errors import BuildFailed
from fleetbeat.reconcile.decryption import post
from fleetbeat.render.engine import Engine, Sealed
from fleetbeat.render.sops import azure
from fleetbeat.render.sops.keys import CannotOpen, Keys, keys_of
from fleetbeat.render.sops.unseal import Unsealer
from tests.support.keyservices import TOKEN, KeyServices, wrap
from tests.support.sopstool import SopsTool
from tests.support.vendorapis import key_file

pytestmark = pytest.mark.unit

TEXT = "password: hunter2\n"
ARN = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
ACCESS = b"aws_access_key_id: AKIAEXAMPLE\naws_secret_access_key: hidden\n"
GCP = "projects/p/locations/global/keyRings/r/cryptoKeys/k"


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyServices]:
    """The server, and no identity of this machine."""
    running = KeyServices()
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", running.url)
    yield running
    running.close()


def opened(engine: Engine, sealed: str, keys: Keys) -> str:
    return Unsealer(engine, keys).files([Sealed(path="x", format="yaml", text=sealed.encode())])["x"].decode()


def refused(engine: Engine, sealed: str, keys: Keys) -> str:
    with pytest.raises(BuildFailed) as failure:
        opened(engine, sealed, keys)
    assert TOKEN not in failure.value.message
    assert "hidden" not in failure.value.message
    return failure.value.message


def rewrapped(tool: SopsTool, kind: str, entry: dict[str, str], encode: Any = base64.b64encode) -> str:
    """A file whose data key only that service can decrypt."""
    document = yaml.safe_load(tool.encrypt(TEXT))
    block = document["sops"]
    data_key = decrypt(block.pop("age")[0]["enc"].encode(), [tool.identity])
    block[kind] = [{**entry, "enc": encode(wrap(data_key)).decode().rstrip("=")}]
    if encode is base64.b64encode:
        block[kind][0]["enc"] = encode(wrap(data_key)).decode()
    return yaml.safe_dump(document, sort_keys=False)


def test_aws_kms(engine: Engine, tool: SopsTool, services: KeyServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the access key of the Secret or with the worker's own; the encryption context goes along."""
    own = {"AWS_ACCESS_KEY_ID": "AKIAWORKER", "AWS_SECRET_ACCESS_KEY": "hidden"}
    tool.env = own
    sealed = tool.encrypt(TEXT, key_groups=[{"kms": [{"arn": ARN, "context": {"app": "web"}}]}])
    assert opened(engine, sealed, keys_of({"sops.aws-kms": ACCESS}, "Secret a/b")) == TEXT
    assert "AKIAEXAMPLE" in services.seen[-1][1]["authorization"]
    assert services.seen[-1][2]["EncryptionContext"] == {"app": "web"}
    assert "NoCredentialsError" in refused(engine, sealed, Keys())
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    assert opened(engine, sealed, Keys()) == TEXT
    assert "AKIAWORKER" in services.seen[-1][1]["authorization"]
    forged = sealed.replace("app: web", "app: other")
    assert f"AWS KMS key {ARN}: AWS answers InvalidCiphertext" in refused(engine, forged, Keys())
    message = refused(engine, sealed, keys_of({"sops.aws-kms": b"{aws_access_key_id: a}"}, "Secret a/b"))
    assert "needs aws_access_key_id and aws_secret_access_key" in message


def test_vault_transit(engine: Engine, tool: SopsTool, services: KeyServices) -> None:
    """The token of the Secret goes to the server that the file names; without one nobody is asked."""
    tool.env = {"VAULT_TOKEN": TOKEN}
    sealed = tool.encrypt(TEXT, hc_vault_transit_uri=f"{services.url}/v1/transit/keys/app")
    assert opened(engine, sealed, keys_of({"sops.vault-token": TOKEN.encode()}, "Secret a/b", post)) == TEXT
    asked = len(services.seen)
    assert "the Secret has no 'sops.vault-token'" in refused(engine, sealed, keys_of({}, "Secret a/b", post))
    assert len(services.seen) == asked
    wrong = keys_of({"sops.vault-token": b"wrong"}, "Secret a/b", post)
    assert "the token is not allowed" in refused(engine, sealed, wrong)
    services.close()
    gone = keys_of({"sops.vault-token": TOKEN.encode()}, "Secret a/b", post)
    assert "does not take connections" in refused(engine, sealed, gone)


def test_gcp_kms(engine: Engine, tool: SopsTool, services: KeyServices) -> None:
    """The account of the Secret logs in; its token goes to Google alone."""
    account = key_file(f"{services.url}/token")
    sealed = rewrapped(tool, "gcp_kms", {"resource_id": GCP})
    keys = keys_of({"sops.gcp-kms": orjson.dumps(account)}, "Secret a/b", services.post)
    assert opened(engine, sealed, keys) == TEXT
    path, headers, _ = services.seen[-1]
    assert (path, headers["x-host"]) == (f"/v1/{GCP}:decrypt", "cloudkms.googleapis.com")
    assert "no login" in refused(engine, sealed, Keys(post=services.post))
    file = keys_of({"sops.gcp-kms": b"{type: external_account}"}, "Secret a/b", services.post)
    assert "must be the key file of a service account" in refused(engine, sealed, file)
    evil = rewrapped(tool, "gcp_kms", {"resource_id": "../../x"})
    assert "without a valid resource_id" in refused(engine, evil, keys)


def test_azure_key_vault(
    engine: Engine, tool: SopsTool, services: KeyServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's identity logs in; its token goes to Azure's own hosts alone."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{services.url}/identity")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    entry = {"vault_url": "https://fleet.vault.azure.net", "name": "sops", "version": "abc123"}
    sealed = rewrapped(tool, "azure_kv", entry, base64.urlsafe_b64encode)
    keys = Keys(post=services.post)
    assert opened(engine, sealed, keys) == TEXT
    path, headers, body = services.seen[-1]
    assert (path, headers["x-host"]) == ("/keys/sops/abc123/decrypt?api-version=7.4", "fleet.vault.azure.net")
    assert body["alg"] == "RSA-OAEP-256"
    for url in ("https://fleet.vault.azure.net.evil.example", "http://fleet.vault.azure.net", "https://x@evil.example"):
        evil = rewrapped(tool, "azure_kv", {**entry, "vault_url": url}, base64.urlsafe_b64encode)
        assert "none of Azure Key Vault" in refused(engine, evil, keys)


@pytest.mark.parametrize(
    ("account", "kind"),
    [
        ({"tenantId": "t", "clientId": "c", "clientSecret": "s"}, "ClientSecretCredential"),
        ({"tenant": "t", "appId": "c", "password": "s"}, "ClientSecretCredential"),
        ({"clientId": "c"}, None),
        ({}, None),
    ],
)
def test_azure_accounts(account: dict[str, str], kind: str | None) -> None:
    """An authentication file is understood by its fields, as in Flux; half of one is refused."""
    from azure import identity

    if kind is None:
        with pytest.raises(CannotOpen, match="needs tenantId, clientId and clientSecret"):
            azure._credential(identity, account)
    else:
        with azure._credential(identity, account) as credential:
            assert type(credential).__name__ == kind


def test_one_data_key_is_asked_for_once(
    engine: Engine, tool: SopsTool, services: KeyServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a run a key service hears of each data key once; when its time is over, of none."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWORKER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    sealed = tool.encrypt(TEXT, kms=ARN).encode()
    asked = len(services.seen)
    files = [Sealed(path=name, format="yaml", text=sealed) for name in ("one", "two")]
    Unsealer(engine, Keys()).files(files)
    assert len(services.seen) == asked + 1
    with pytest.raises(BuildFailed, match=r"the time that spec\.timeout allows is over"):
        Unsealer(engine, Keys(), timeout=-1.0).files(files)
    assert len(services.seen) == asked + 1
