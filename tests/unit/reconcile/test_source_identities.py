"""Sources that log in to a cloud as a service account: by the vendors' real SDKs, with tokens of a scripted hub."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from fleetbeat.api.source import HelmRepositorySpec
from fleetbeat.errors import AuthenticationFailed, InvalidSTS, UnsupportedProvider
from fleetbeat.kube import vendorlogins
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.helmaccess import HelmAccess
from fleetbeat.sources.bucket.access import Keys
from fleetbeat.sources.oci import vendors
from fleetbeat.sources.oci.login import Access
from fleetbeat.sources.oci.login import Login as RegistryLogin
from fleetbeat.sources.oci.reference import Repository
from fleetbeat.sources.oci.wire import Wire
from tests.support.fakeregistry import FakeRegistry, Reply
from tests.support.scriptedhub import Accounts, scripted_hub
from tests.support.sourcelogins import (
    AWS,
    AZURE,
    GCP,
    PROVIDER,
    REGISTRIES,
    REPOSITORIES,
    ROLE,
    TOKEN,
    bucket,
    context,
    git,
    registry,
)
from tests.support.vendorapis import answer, scripted_azure, scripted_google

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("worker")]

LogIn = Callable[[Context, str], Any]
EVERY = [
    *((git, provider) for provider in REPOSITORIES),
    *((registry, provider) for provider in REGISTRIES),
    (bucket, "aws"),
]
every = pytest.mark.parametrize(("log_in", "provider"), EVERY, ids=[f"{one.__name__}-{name}" for one, name in EVERY])


def test_aws(sts: list[dict[str, list[str]]], ecr: FakeRegistry) -> None:
    """In the role of the account's annotation, by a token of that very account; kept as long as it lasts."""
    accounts = Accounts(AWS)
    with scripted_hub(accounts) as hub:
        ctx = context(hub)
        for _ in range(2):
            assert git(ctx, "aws").username == "ROLE%session"
        for _ in range(2):
            assert registry(ctx, "aws").login.password == "secret"
        assert bucket(ctx, "aws").keys == Keys("ROLE", "hidden", "session")
    (asked,) = ecr.seen
    assert "Credential=ROLE/" in asked.headers["authorization"]
    assert [(form["RoleArn"], form["WebIdentityToken"]) for form in sts] == [([ROLE], ["for-sts.amazonaws.com"])] * 3
    assert accounts.asked == [TOKEN] * 3


def test_one_role_serves_many_repositories(sts: list[dict[str, list[str]]]) -> None:
    """Each has a signature of its own; AWS is asked once."""
    with scripted_hub(AWS) as hub:
        ctx = context(hub)
        first, other = (git(ctx, "aws", url=REPOSITORIES["aws"] + end) for end in ("", "2"))
    assert (first.username, len(sts)) == (other.username, 1)
    assert first.password != other.password and first.fingerprint != other.fingerprint


def test_azure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake: FakeRegistry) -> None:
    """As the identity of the annotations, with a token for what is asked alone."""
    fake.on("/oauth2/exchange", answer({"refresh_token": "secret"}))
    monkeypatch.setattr(
        vendors, "Wire", lambda host, access, deadline: Wire(fake.host, Access(insecure=True), deadline)
    )
    accounts = Accounts(AZURE)
    with scripted_azure(monkeypatch, tmp_path) as entra, scripted_hub(accounts) as hub:
        ctx = context(hub)
        assert git(ctx, "azure").authorization == "Bearer exchanged"
        assert registry(ctx, "azure").login.identity_token == "secret"
    forms = [parse_qs(one.body.decode()) for one in entra.seen if one.method == "POST"]
    assert [(form["client_assertion"], form["scope"]) for form in forms] == [
        (["for-api://AzureADTokenExchange"], ["499b84ac-1321-427f-aa17-267ca6975798/.default"]),
        (["for-api://AzureADTokenExchange"], ["https://management.azure.com/.default"]),
    ]
    assert parse_qs(fake.seen[-1].body.decode())["access_token"] == ["exchanged"]
    assert accounts.asked == [TOKEN] * 2


def test_gcp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the Google account of the annotation."""
    accounts = Accounts(GCP)
    with scripted_google(monkeypatch, tmp_path) as google, scripted_hub(accounts) as hub:
        assert registry(context(hub), "gcp").login.password == "deployer"
    exchange, _ = google.seen
    assert parse_qs(exchange.body.decode())["subject_token"] == [f"for-//iam.googleapis.com/{PROVIDER}"]
    assert accounts.asked == [TOKEN]


NAMED = {"aws": vendorlogins.ROLE, "azure": vendorlogins.TENANT, "gcp": vendorlogins.PROVIDER}


@every
def test_an_account_without_an_identity(
    log_in: LogIn, provider: str, sts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The annotation is named; the worker's own identity does not stand in."""
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    vendorlogins._home.cache_clear()
    accounts = Accounts({})
    with (
        scripted_hub(accounts) as hub,
        pytest.raises(AuthenticationFailed, match=f"spec.serviceAccountName: .*{NAMED[provider]}"),
    ):
        log_in(context(hub), provider)
    assert (accounts.asked, sts) == ([], [])


@every
def test_an_account_that_does_not_exist(log_in: LogIn, provider: str, sts: list[Any]) -> None:
    """Is told by name."""
    accounts = Accounts({}, refused={"/serviceaccounts/deployer": 404})
    message = "spec.serviceAccountName: ServiceAccount apps/deployer not found"
    with scripted_hub(accounts) as hub, pytest.raises(AuthenticationFailed, match=message):
        log_in(context(hub), provider)
    assert (accounts.asked, sts) == ([], [])


@every
def test_a_hub_that_gives_no_tokens(log_in: LogIn, provider: str, sts: list[Any]) -> None:
    """The missing right is named, and the value of the chart that gives it."""
    accounts = Accounts(AWS | AZURE | GCP, refused={"/token": 403})
    with (
        scripted_hub(accounts) as hub,
        pytest.raises(AuthenticationFailed, match=r"create serviceaccounts/token, .*sourceServiceAccountTokens"),
    ):
        log_in(context(hub), provider)
    assert sts == []


@pytest.mark.parametrize("log_in", [git, registry])
@pytest.mark.parametrize("provider", ["aws", "azure"])
def test_no_other_host_sees_an_identity(log_in: Any, provider: str) -> None:
    """It is refused before the hub or anybody else is asked."""
    accounts = Accounts(AWS | AZURE, refused={"": 500})
    url = f"{'https' if log_in is git else 'oci'}://vendor.example/apps"
    with scripted_hub(accounts) as hub, pytest.raises(UnsupportedProvider, match="does not serve"):
        log_in(context(hub), provider, url=url) if log_in is git else registry(
            context(hub, "deployer"), provider, None, url
        )
    assert accounts.asked == []


def test_a_server_of_the_spec_sees_no_token() -> None:
    """An own token service of a Bucket could take the account's place elsewhere."""
    sts = {"sts": {"provider": "aws", "endpoint": "https://sts.example"}}
    accounts = Accounts(AWS)
    with scripted_hub(accounts) as hub, pytest.raises(InvalidSTS, match="deployer exclude each other"):
        bucket(context(hub), "aws", **sts)
    assert accounts.asked == []


def test_a_refusal_of_the_vendor(monkeypatch: pytest.MonkeyPatch, fake: FakeRegistry) -> None:
    """Is told without what was sent."""
    said = "<Error><Code>AccessDenied</Code><Message>for-sts.amazonaws.com</Message></Error>"
    fake.on("/", Reply(403, {"Content-Type": "text/xml"}, f"<ErrorResponse>{said}</ErrorResponse>".encode()))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://{fake.host}")
    with scripted_hub(AWS) as hub:
        for log_in in (git, registry, bucket):
            with pytest.raises(
                AuthenticationFailed, match=f"serviceAccountName: role {ROLE}: AWS .* AccessDenied"
            ) as raised:
                log_in(context(hub), "aws")
            assert "for-sts" not in str(raised.value)


@pytest.mark.parametrize("log_in", [git, registry, bucket])
def test_the_accounts_of_an_installation(log_in: Any, sts: list[Any], ecr: FakeRegistry) -> None:
    """Where the spec names nobody, that of the operator's choice, of the source's own namespace."""
    accounts = Accounts(AWS)
    with scripted_hub(accounts) as hub:
        ctx = context(hub, "deployer")
        log_in(ctx, "aws", None)
        assert accounts.asked == [TOKEN]
        log_in(ctx, "aws", "other")
        assert accounts.asked[1:] == [TOKEN.replace("deployer", "other")]


def test_charts_in_registries(sts: list[Any], ecr: FakeRegistry) -> None:
    """A HelmRepository cannot name an account, so the installation's is its own, too."""
    accounts = Accounts(AWS)
    spec = HelmRepositorySpec(url=REGISTRIES["aws"], type="oci", provider="aws")
    with scripted_hub(accounts) as hub:
        repository = HelmAccess(context(hub, "deployer"), "apps").registry(spec)
        assert repository.access(Repository.parse(REGISTRIES["aws"])).login.password == "secret"
    assert accounts.asked == [TOKEN]


def test_pull_secrets_come_first() -> None:
    """As with Flux: who has an account in them needs no other."""
    host = REGISTRIES["aws"].removeprefix("oci://").partition("/")[0]
    config = json.dumps({"auths": {host: {"username": "robot", "password": "stored"}}})
    objects: dict[str, Any] = {
        "/serviceaccounts/deployer": {"metadata": {"uid": "1"}, "imagePullSecrets": [{"name": "pull"}]},
        "/secrets/pull": {"data": {".dockerconfigjson": base64.b64encode(config.encode()).decode()}},
    }
    accounts = Accounts(AWS, objects=objects)
    with scripted_hub(accounts) as hub:
        assert registry(context(hub), "aws").login == RegistryLogin("robot", "stored")
    assert accounts.asked == []
