"""Clusters that a ConfigMap describes: its keys, the life of tokens, and EKS through the vendor's SDK."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fleetbeat.errors import InvalidSpec
from fleetbeat.kube.access import Described, Token, Tokens, config_of, server_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig, NotFound, Unauthorized
from tests.support.hostile import reply, scripted_server

pytestmark = pytest.mark.unit

ARN = "arn:aws:eks:eu-west-1:123456789012:cluster/prod"
ROLE = "arn:aws:iam::123456789012:role/fleet"
HUB = KubeClient(ClusterConfig("http://127.0.0.1:1"))
"""Nobody answers there."""


@pytest.mark.parametrize("provider", ["", "azure", "gcp", "other"])
def test_other_providers_are_refused(provider: str) -> None:
    """With what can be used instead."""
    with pytest.raises(InvalidSpec, match=rf"provider '{provider}' is not supported; use generic or aws"):
        Described.read({"provider": provider})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"address": "https://a"}, "serviceAccountName is missing"),
        ({"serviceAccountName": "fleet"}, "address is missing"),
        ({"serviceAccountName": "fleet", "address": "http://a"}, "address is not of the form https://host:port"),
        ({"serviceAccountName": "fleet", "address": "https://u:p@a"}, "address is not of the form"),
        ({"serviceAccountName": "fleet", "address": "https://a:99999"}, "address is not of the form"),
    ],
)
def test_what_generic_needs(data: dict[str, str], message: str) -> None:
    """The message names the key."""
    with pytest.raises(InvalidKubeconfig, match=message):
        config_of(HUB, "apps", Described.read({"provider": "generic", **data}))


def test_keys_and_their_defaults() -> None:
    """Audiences are lines; the installation's service account fills an absent one."""
    data = {"provider": "generic", "address": "a", "audiences": " one\n\n two \n", "ca.crt": "pem"}
    found = Described.read(data, "default")
    assert found == Described("generic", "", "a", "pem", ("one", "two"), "default")
    assert Described.read({**data, "serviceAccountName": "own"}, "default").account == "own"


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("api.example.com", "https://api.example.com:443"),
        ("https://API.example.com/", "https://api.example.com:443"),
        ("https://[::1]:6443", "https://[::1]:6443"),
        ("10.0.0.1:6443", "https://10.0.0.1:6443"),
    ],
)
def test_addresses(address: str, server: str) -> None:
    """A bare host is https."""
    assert server_of(address) == server


def test_a_token_is_kept_while_it_lives() -> None:
    """Another one is asked for before it ends, and one that cannot be had is nobody's missing object."""
    given = iter([Token("one", time.time() + 600), Token("two", time.time() - 1), Token("three", time.time() + 600)])
    tokens = Tokens(lambda: next(given))
    assert (tokens(), tokens()) == ("one", "one")
    tokens._renew = 0.0
    assert (tokens(), tokens(), tokens()) == ("two", "three", "three")

    def missing() -> Token:
        raise NotFound('serviceaccounts "fleet" not found', status=404)

    with pytest.raises(Unauthorized) as caught:
        Tokens(missing)()
    assert caught.value.status == 401
    assert "secret" not in repr(Token("secret", 1.0))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The vendor's API on this machine; collects the paths and forms that it was asked."""
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "WORKER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    asked: list[str] = []
    cluster = {"endpoint": "https://eks.example.com", "certificateAuthority": {"data": _b64(b"pem")}}

    def api(handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "POST":
            asked.append(handler.rfile.read(int(handler.headers["Content-Length"])).decode())
            reply(handler, ASSUMED.encode(), kind="text/xml")
        else:
            asked.append(handler.path)
            reply(handler, json.dumps({"cluster": cluster}).encode(), kind="application/json")

    with scripted_server(api) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_EKS", url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        yield asked


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


ENDS = datetime.fromtimestamp(time.time() + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
KEYS = "<AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>hidden</SecretAccessKey><SessionToken>session</SessionToken>"
ASSUMED = (
    '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    f"<AssumeRoleWithWebIdentityResult><Credentials>{KEYS}<Expiration>{ENDS}</Expiration></Credentials>"
    "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
)


def presigned(config: ClusterConfig) -> dict[str, list[str]]:
    """The query of the URL that a token of EKS is."""
    assert config.token is not None
    head, _, text = config.token().partition(".")
    assert head == "k8s-aws-v1"
    url = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    return parse_qs(urlsplit(url).query)


def test_eks_says_where_its_cluster_is(aws: list[str]) -> None:
    """Address and authority come from its API; the token is a signed request that names the cluster in a header."""
    config = config_of(HUB, "apps", Described.read({"provider": "aws", "cluster": ARN}))
    assert (config.server, config.ca) == ("https://eks.example.com:443", b"pem")
    query = presigned(config)
    assert query["Action"] == ["GetCallerIdentity"]
    assert query["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"]
    assert query["X-Amz-Credential"][0].startswith("WORKER/")
    assert "/eu-west-1/sts/" in query["X-Amz-Credential"][0]
    assert query["X-Amz-Expires"] == ["60"]
    assert aws == ["/clusters/prod"]
    assert "hidden" not in repr(config)


@pytest.mark.parametrize("key", ["address", "ca.crt"])
def test_the_workers_identity_goes_where_eks_says(aws: list[str], key: str) -> None:
    """Who writes a ConfigMap does not choose where its tokens are sent."""
    with pytest.raises(InvalidKubeconfig, match=r"address and ca\.crt need a serviceAccountName"):
        config_of(HUB, "apps", Described.read({"provider": "aws", "cluster": ARN, key: "evil.example.com"}))
    assert aws == []


@pytest.mark.parametrize("cluster", ["", "prod", "arn:aws:eks:eu-west-1:123456789012:nodegroup/prod", f"{ARN}/x"])
def test_the_cluster_is_an_arn(aws: list[str], cluster: str) -> None:
    """Its region is part of it."""
    with pytest.raises(InvalidKubeconfig, match="cluster is not the ARN of an EKS cluster"):
        config_of(HUB, "apps", Described.read({"provider": "aws", "cluster": cluster}))


def hub(annotations: dict[str, str]) -> Any:
    """A hub with one service account."""

    def serve(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.endswith("/token"):
            body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
            (audience,) = body["spec"]["audiences"]
            answer: dict[str, Any] = {"status": {"token": f"for-{audience}", "expirationTimestamp": ENDS}}
        else:
            answer = {"metadata": {"name": "fleet", "annotations": annotations}}
        reply(handler, json.dumps(answer).encode(), kind="application/json")

    return scripted_server(serve)


def test_a_role_of_a_service_account(aws: list[str]) -> None:
    """The account's own token, for STS alone, is exchanged for the role; then the ConfigMap may name the address."""
    data = {"provider": "aws", "cluster": ARN, "address": "private.example.com", "ca.crt": "pem"}
    with hub({"eks.amazonaws.com/role-arn": ROLE}) as (url, _):
        described = Described.read({**data, "serviceAccountName": "fleet"})
        config = config_of(KubeClient(ClusterConfig(url)), "apps", described)
        query = presigned(config)
    assert config.server == "https://private.example.com:443"
    assert query["X-Amz-Credential"][0].startswith("ROLE/")
    assert query["X-Amz-Security-Token"] == ["session"]
    (form,) = [parse_qs(one) for one in aws]
    assert (form["RoleArn"], form["WebIdentityToken"]) == ([ROLE], ["for-sts.amazonaws.com"])


def test_a_service_account_without_role(aws: list[str]) -> None:
    """The message names the annotation; the worker's own identity does not stand in."""
    with hub({}) as (url, _):
        described = Described.read({"provider": "aws", "cluster": ARN, "serviceAccountName": "fleet"})
        with pytest.raises(InvalidKubeconfig, match=r"apps/fleet has no annotation eks\.amazonaws\.com/role-arn"):
            config_of(KubeClient(ClusterConfig(url)), "apps", described)
    assert aws == []
