"""Where the tokens of a vendor's cluster may go."""

from __future__ import annotations

import time

import pytest

from fleetbeat.clouds import Token
from fleetbeat.kube import managed
from fleetbeat.kube.access import Described
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig, NotFound, Unauthorized
from fleetbeat.kube.managed import Endpoint
from tests.support.fakeregistry import FakeRegistry, Reply

pytestmark = pytest.mark.unit

PUBLIC, PRIVATE = Endpoint("https://public.example.com:443", b"pem"), Endpoint("https://10.0.0.1:443", b"pem")
DNS = Endpoint("https://name.example.com:443", None)


def reach(told: list[Endpoint], **keys: str) -> ClusterConfig:
    described = Described("azure", "prod", **keys)
    return managed.config_of(described, lambda: told, lambda: Token("secret", time.time() + 600))


def unasked() -> list[Endpoint]:
    raise AssertionError("the vendor was asked")


@pytest.mark.parametrize(
    ("keys", "server", "ca"),
    [
        ({}, PUBLIC.server, b"pem"),
        ({"address": "10.0.0.1"}, PRIVATE.server, b"pem"),
        ({"address": "https://name.example.com"}, DNS.server, None),
        ({"account": "fleet"}, PUBLIC.server, b"pem"),
        ({"account": "fleet", "ca": "own"}, PUBLIC.server, b"own"),
        ({"account": "fleet", "address": "proxy.example.com"}, "https://proxy.example.com:443", b"pem"),
    ],
)
def test_what_the_config_map_leaves_open_is_as_the_vendor_says(
    keys: dict[str, str], server: str, ca: bytes | None
) -> None:
    """The usual endpoint, or the one that the ConfigMap names; a service account's tokens may go elsewhere too."""
    config = reach([PUBLIC, PRIVATE, DNS], **keys)
    assert (config.server, config.ca) == (server, ca)
    assert config.token is not None
    assert config.token() == "secret"


def test_nobody_is_asked_for_what_is_given() -> None:
    """Address and authority are all there is to know."""
    described = Described("azure", address="a.example.com", ca="own", account="fleet")
    config = managed.config_of(described, unasked, lambda: Token("secret", time.time() + 600))
    assert (config.server, config.ca) == ("https://a.example.com:443", b"own")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"address": "evil.example.com"}, r"address is none of the cluster's own \(https://public\.example\.com:443"),
        ({"address": "public.example.com:6443"}, "any other needs a serviceAccountName"),
        ({"ca": "own"}, r"ca\.crt needs a serviceAccountName"),
        ({"address": PUBLIC.server, "ca": "own"}, r"ca\.crt needs a serviceAccountName"),
    ],
)
def test_the_workers_identity_goes_where_the_vendor_says(keys: dict[str, str], message: str) -> None:
    """Who writes a ConfigMap does not choose where its tokens are sent, nor who may read them."""
    with pytest.raises(InvalidKubeconfig, match=message):
        reach([PUBLIC, PRIVATE], **keys)


def test_a_cluster_that_is_being_made_has_no_endpoint() -> None:
    """It is tried again later."""
    with pytest.raises(InvalidKubeconfig, match="cluster prod has no endpoint yet"):
        reach([])


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(403, body=b"hidden"), "AKS cluster prod: the vendor's API answers 403"),
        (Reply(302, {"Location": "http://127.0.0.1:1/"}), "answers 302"),
        (Reply(200, body=b"<html>hidden"), "does not answer in JSON"),
        (Reply(200, body=b"[]"), "does not answer in JSON"),
    ],
)
def test_what_a_vendor_may_answer_instead(reply: Reply, message: str) -> None:
    """Said without what it said; redirects are not followed, because they would take the token with them."""
    with FakeRegistry() as vendor:
        vendor.on("/cluster", reply)
        with pytest.raises(Unauthorized, match=message) as caught:
            managed.ask("AKS cluster prod", "token", f"http://{vendor.host}/cluster")
        assert vendor.seen[0].headers["authorization"] == "Bearer token"
    assert "hidden" not in caught.value.message


def test_a_vendor_that_does_not_answer() -> None:
    """Is said too."""
    with pytest.raises(Unauthorized, match=r"the vendor's API does not answer \(MaxRetryError\)"):
        managed.ask("GKE cluster prod", "token", "http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (ImportError("google"), InvalidKubeconfig, r"GKE needs a package .* pip install 'fleetbeat\[gcp\]'"),
        (RuntimeError("hidden"), Unauthorized, r"GKE: no login \(RuntimeError\)"),
        (NotFound("ServiceAccount", status=404), NotFound, "ServiceAccount"),
    ],
)
def test_errors_of_an_sdk(raised: Exception, kind: type[Exception], message: str) -> None:
    """Their texts are not told."""
    with pytest.raises(kind, match=message), managed.asking("GKE", "gcp"):
        raise raised
