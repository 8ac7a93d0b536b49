"""What the client says when there is no answer, and how the breaker keeps a dead cluster from costing time."""

from __future__ import annotations

import datetime
import socket

import pytest

from fleetbeat.kube import breaker, client
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import Unreachable
from fleetbeat.kube.explain import certificate_expiry
from tests.support.scripted import Server
from tools.pki import Authority

pytestmark = pytest.mark.unit

OBJECT = {"kind": "Thing"}


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_dead_cluster_costs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few failures the breaker refuses at once, then lets one probe through, and closes on an answer."""
    now = 1000.0
    monkeypatch.setattr(breaker, "monotonic", lambda: now)
    monkeypatch.setattr(client.time, "sleep", lambda _: None)
    dead = KubeClient(ClusterConfig(f"http://127.0.0.1:{closed_port()}"))
    with pytest.raises(Unreachable, match="connection refused"):
        dead.get("/api/v1/things")
    sent = dead.stats.total()
    with pytest.raises(Unreachable, match="connection refused") as error:
        dead.impersonate("somebody").get("/api/v1/things")
    assert error.value.retry_after == 2.0
    assert dead.stats.total() == sent
    now += 3
    with pytest.raises(Unreachable):
        dead.get("/api/v1/things")
    assert dead.stats.total() == sent + 1


def test_the_breaker_closes_on_any_answer() -> None:
    """An error answer is an answer."""
    guard = breaker.Breaker()
    for _ in range(breaker.THRESHOLD):
        guard.failed("gone")
    assert guard.refuses()
    guard.answered()
    assert guard.refuses() is None


def test_the_breaker_asks_more_often_where_asking_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is tried every 5 s, one that hangs for 5 s once a minute."""
    now = 1000.0
    monkeypatch.setattr(breaker, "monotonic", lambda: now)
    cheap, dear = breaker.Breaker(), breaker.Breaker()
    for _ in range(20):
        cheap.failed("refused", 0.001)
        dear.failed("no answer", 5.0)
    assert cheap.refuses() == ("refused", 5.0)
    assert dear.refuses() == ("no answer", 60.0)


def test_silence_ends_by_the_timeout() -> None:
    """A server that accepts and says nothing costs one timeout, not three."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        kube = KubeClient(ClusterConfig(f"http://127.0.0.1:{silent.getsockname()[1]}"), timeout=0.2)
        with pytest.raises(Unreachable, match="no answer in time"):
            kube.get("/api/v1/things")
        assert kube.stats.total() == 1
        kube.close()


def test_unknown_hosts_are_told() -> None:
    """A name that does not resolve says so."""
    with pytest.raises(Unreachable, match="unknown host"):
        KubeClient(ClusterConfig("http://nowhere.invalid")).get("/api/v1/things")


@pytest.fixture
def authority() -> Authority:
    return Authority("test")


def tls_server(authority: Authority, lifetime: datetime.timedelta) -> Server:
    context = authority.server("localhost", "127.0.0.1", lifetime=lifetime).server_context()
    running = Server()
    running.http.socket = context.wrap_socket(running.http.socket, server_side=True)
    running.says((200, {}, OBJECT))
    return running


@pytest.mark.parametrize(
    ("days", "trust", "ignored", "message"),
    [
        (365, True, (), None),
        (-1, True, (), "the server's certificate has expired$"),
        (365, False, (), "the server's certificate is not trusted"),
        (365, False, ("cluster.insecure-skip-tls-verify",), "insecure-skip-tls-verify is ignored"),
    ],
)
def test_tls_failures_are_explained(
    authority: Authority, days: int, trust: bool, ignored: tuple[str, ...], message: str | None
) -> None:
    """Expired and untrusted server certificates have their own sentences."""
    server = tls_server(authority, datetime.timedelta(days=days))
    ca = authority.certificate if trust else Authority("other").certificate
    config = ClusterConfig(server.address.replace("http:", "https:"), ca=ca, ignored=ignored)
    kube = KubeClient(config)
    try:
        if message is None:
            assert kube.get("/api/v1/things") == OBJECT
        else:
            with pytest.raises(Unreachable, match=message):
                kube.get("/api/v1/things")
    finally:
        kube.close()
        server.close()


def test_expiry_is_read_from_the_certificate(authority: Authority) -> None:
    """The date of a client certificate is found without a parser for the rest of it."""
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=10)
    expiry = certificate_expiry(authority.client("someone", lifetime=datetime.timedelta(days=10)).certificate)
    assert expiry is not None
    assert abs((expiry - soon).total_seconds()) < 120
    assert certificate_expiry(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----") is None
    assert certificate_expiry(b"") is None
