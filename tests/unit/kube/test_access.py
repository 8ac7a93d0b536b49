"""Clusters that a ConfigMap describes: its keys and the life of tokens."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler
from itertools import count

import pytest

from fleetbeat.errors import InvalidSpec
from fleetbeat.kube.access import Described, Token, Tokens, config_of, server_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig, NotFound, Unauthorized
from tests.support.hostile import reply, scripted_server

pytestmark = pytest.mark.unit

HUB = KubeClient(ClusterConfig("http://127.0.0.1:1"))
"""Nobody answers there."""


@pytest.mark.parametrize("provider", ["", "other"])
def test_other_providers_are_refused(provider: str) -> None:
    """With what can be used instead."""
    with pytest.raises(InvalidSpec, match=rf"provider '{provider}' is not supported; use generic, aws, azure, gcp, or"):
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


def test_no_token_is_asked_for_again_and_again() -> None:
    """All requests of a run share one answer, also where it is that there is none."""
    asked = []

    def missing() -> Token:
        asked.append(time.time())
        raise NotFound('serviceaccounts "fleet" not found', status=404)

    tokens = Tokens(missing)
    for _ in range(3):
        with pytest.raises(Unauthorized, match='"fleet" not found'):
            tokens()
    assert len(asked) == 1
    tokens._asked -= 60
    with pytest.raises(Unauthorized):
        tokens()
    assert len(asked) == 2


def test_a_token_lives_on_while_there_is_no_other() -> None:
    """Who gives them may be away for a while."""
    given = [Token("one", time.time() + 600)]

    def ask() -> Token:
        if given:
            return given.pop()
        raise NotFound("away", status=404)

    tokens = Tokens(ask)
    assert tokens() == "one"
    tokens._asked = tokens._renew = 0.0
    assert (tokens(), tokens()) == ("one", "one")


def test_tokens_are_not_printed() -> None:
    """Not even by accident."""
    assert "secret" not in repr(Token("secret", 1.0))


def test_a_token_that_is_refused_is_renewed() -> None:
    """At the next request, but not again and again."""
    given = (Token(f"token-{number}", time.time() + 600) for number in count())
    tokens = Tokens(lambda: next(given))

    def refuse(handler: BaseHTTPRequestHandler) -> None:
        reply(handler, status=401)

    with scripted_server(refuse) as (url, seen):
        client = KubeClient(tokens.open(url, None))
        for long_ago in (False, True, False):
            tokens._asked -= 60 * long_ago
            with pytest.raises(Unauthorized, match="the cluster must know its issuer, its audience and whose it is"):
                client.get("/api/v1/namespaces")
        client.close()
    assert [one["authorization"] for one in seen] == ["Bearer token-0", "Bearer token-0", "Bearer token-1"]
