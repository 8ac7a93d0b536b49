"""Amazon's EKS clusters that a ConfigMap describes, through the vendor's SDK and scripted answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest

from fleetbeat.kube.access import Described, config_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig
from tests.support.hostile import reply, scripted_server
from tests.support.scriptedhub import scripted_hub
from tests.support.vendorapis import assumed_role

pytestmark = pytest.mark.unit

ARN = "arn:aws:eks:eu-west-1:123456789012:cluster/prod"
ROLE = "arn:aws:iam::123456789012:role/fleet"
HUB = KubeClient(ClusterConfig("http://127.0.0.1:1"))
"""Nobody answers there."""


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
    told = {"endpoint": "https://eks.example.com", "certificateAuthority": {"data": _b64(b"pem")}}

    def api(handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "POST":
            asked.append(handler.rfile.read(int(handler.headers["Content-Length"])).decode())
            reply(handler, assumed_role("ROLE"), kind="text/xml")
        else:
            asked.append(handler.path)
            reply(handler, json.dumps({"cluster": told}).encode(), kind="application/json")

    with scripted_server(api) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_EKS", url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        yield asked


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


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


@pytest.mark.parametrize("cluster", ["", "prod", "arn:aws:eks:eu-west-1:123456789012:nodegroup/prod", f"{ARN}/x"])
def test_the_cluster_is_an_arn(aws: list[str], cluster: str) -> None:
    """Its region is part of it."""
    with pytest.raises(InvalidKubeconfig, match="cluster is not the ARN of an EKS cluster"):
        config_of(HUB, "apps", Described.read({"provider": "aws", "cluster": cluster}))


def test_a_role_of_a_service_account(aws: list[str]) -> None:
    """The account's own token, for STS alone, is exchanged for the role; then the ConfigMap may name the address."""
    data = {"provider": "aws", "cluster": ARN, "address": "private.example.com", "ca.crt": "pem"}
    with scripted_hub({"eks.amazonaws.com/role-arn": ROLE}) as hub:
        described = Described.read({**data, "serviceAccountName": "fleet"})
        config = config_of(hub, "apps", described)
        query = presigned(config)
    assert config.server == "https://private.example.com:443"
    assert query["X-Amz-Credential"][0].startswith("ROLE/")
    assert query["X-Amz-Security-Token"] == ["session"]
    (form,) = [parse_qs(one) for one in aws]
    assert (form["RoleArn"], form["WebIdentityToken"]) == ([ROLE], ["for-sts.amazonaws.com"])


def test_a_service_account_without_role(aws: list[str]) -> None:
    """The message names the annotation; the worker's own identity does not stand in."""
    with scripted_hub({}) as hub:
        described = Described.read({"provider": "aws", "cluster": ARN, "serviceAccountName": "fleet"})
        with pytest.raises(InvalidKubeconfig, match=r"apps/fleet has no annotation eks\.amazonaws\.com/role-arn"):
            config_of(hub, "apps", described)
    assert aws == []
