"""The client's manners: retries, limits, the breaker, redirects, and what it says when there is no answer."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from fleetbeat.kube import breaker, client
from fleetbeat.kube.client import KubeClient, resource_of
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from fleetbeat.kube.explain import certificate_expiry
from tools.pki import Authority

pytestmark = pytest.mark.unit

OBJECT = {"kind": "Thing"}


class Server:
    """Answers requests with the next scripted (status, headers, body), the last one for ever, and remembers them."""

    def __init__(self) -> None:
        self.script: list[tuple[int, dict[str, str], Any]] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.requests.append((self.command, self.path, dict(self.headers), body))
                status, headers, answer = server.script.pop(0) if len(server.script) > 1 else server.script[0]
                payload = answer if isinstance(answer, bytes) else orjson.dumps(answer)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(payload)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def says(self, *answers: tuple[int, dict[str, str], Any]) -> None:
        self.script = list(answers)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def kube(server: Server) -> Iterator[KubeClient]:
    opened = KubeClient(ClusterConfig(server.address, token=lambda: "t0ken"), timeout=5)
    yield opened
    opened.close()


def status(code: int, reason: str = "", **details: Any) -> tuple[int, dict[str, str], Any]:
    answer = {"kind": "Status", "code": code, "reason": reason, "message": f"it is {reason}", "details": details}
    return code, {}, answer


def test_requests_carry_account_and_query(server: Server, kube: KubeClient) -> None:
    """Token, impersonation, parameters and content type arrive as the API server wants them."""
    server.says((200, {}, OBJECT))
    other = kube.impersonate("system:serviceaccount:a:b", ["one", "two"])
    assert other.apply("/api/v1/namespaces/a/things/b", OBJECT, "me", dry_run=True) == OBJECT
    method, path, headers, body = server.requests[0]
    assert (method, orjson.loads(body)) == ("PATCH", OBJECT)
    assert path == "/api/v1/namespaces/a/things/b?fieldManager=me&force=true&dryRun=All"
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["Impersonate-User"] == "system:serviceaccount:a:b"
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert kube.stats == {("PATCH", "things"): 1}
    kube.get("/api/v1/things")
    assert "Impersonate-User" not in server.requests[1][2]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (422, Invalid),
        (429, TooManyRequests),
        (500, ServerError),
        (400, KubeError),
    ],
)
def test_statuses_become_typed_errors(server: Server, kube: KubeClient, code: int, kind: type[KubeError]) -> None:
    """Each status has its class, with the API server's reason and causes."""
    cause = {"field": "spec.a", "reason": "FieldValueInvalid", "message": "no"}
    server.says(status(code, "Because", causes=[cause], retryAfterSeconds=60))
    with pytest.raises(kind) as error:
        kube.create("/api/v1/things", OBJECT)
    assert type(error.value) is kind
    assert (error.value.status, error.value.status_reason) == (code, "Because")
    if kind is not Unauthorized:
        assert error.value.message == "it is Because"
        assert error.value.causes[0].field == "spec.a"


def test_answers_of_proxies_are_not_taken_for_objects(server: Server, kube: KubeClient) -> None:
    """An HTML error page becomes a short message."""
    server.says((400, {}, b"<html>" + b"x" * 1000))
    with pytest.raises(KubeError, match=r"HTTP 400: <html>x+$") as error:
        kube.get("/api/v1/things")
    assert len(error.value.message) < 250


def test_redirects_are_not_followed(server: Server, kube: KubeClient) -> None:
    """A redirect could carry the token to another host; it is an error."""
    server.says((302, {"Location": f"{server.address}/elsewhere"}, b""))
    with pytest.raises(KubeError, match="HTTP 302"):
        kube.get("/api/v1/things")
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [429, 503])
def test_refused_requests_are_tried_again_after_the_pause_asked_for(
    server: Server, kube: KubeClient, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that was not executed is repeated, whatever its verb, after Retry-After."""
    pauses: list[float] = []
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    server.says((code, {"Retry-After": "2"}, status(code)[2]), (200, {}, OBJECT))
    assert kube.create("/api/v1/things", OBJECT) == OBJECT
    assert len(pauses) == 1
    assert 2.0 <= pauses[0] < 2.7


def test_long_pauses_are_the_callers(server: Server, kube: KubeClient) -> None:
    """A Retry-After beyond a few seconds is handed up instead of slept through."""
    server.says((429, {"Retry-After": "30"}, status(429)[2]))
    with pytest.raises(TooManyRequests) as error:
        kube.get("/api/v1/things")
    assert error.value.retry_after == 30
    assert len(server.requests) == 1


@pytest.mark.parametrize(("verb", "tries"), [("GET", 3), ("APPLY", 3), ("POST", 1), ("PUT", 1), ("DELETE", 1)])
def test_only_repeatable_requests_are_repeated_after_failures(
    server: Server, kube: KubeClient, verb: str, tries: int
) -> None:
    """A 500 may have been executed: reads and applies are tried again, bounded; others are not."""
    server.says(status(500))
    calls = {
        "GET": lambda: kube.get("/api/v1/things"),
        "APPLY": lambda: kube.apply("/api/v1/things/a", OBJECT, "me"),
        "POST": lambda: kube.create("/api/v1/things", OBJECT),
        "PUT": lambda: kube.update("/api/v1/things/a", OBJECT),
        "DELETE": lambda: kube.delete("/api/v1/things/a"),
    }
    with pytest.raises(ServerError):
        calls[verb]()
    assert len(server.requests) == tries


def test_oversized_answers_are_refused(server: Server, kube: KubeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile API server cannot fill our memory."""
    monkeypatch.setattr(client, "MAX_RESPONSE", 1000)
    server.says((200, {}, b"x" * 2000))
    with pytest.raises(Unreachable):
        kube.get("/api/v1/things")


def test_deletes_carry_preconditions(server: Server, kube: KubeClient) -> None:
    """uid and resourceVersion go along, so that only that very object is deleted."""
    server.says((200, {}, {}))
    kube.delete("/api/v1/things/a", uid="u", resource_version="7")
    body = orjson.loads(server.requests[0][3])
    assert body["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    assert body["propagationPolicy"] == "Background"


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


def tls_server(folder: Path, authority: Authority, lifetime: datetime.timedelta) -> Server:
    pair = authority._issue("localhost", (), ExtendedKeyUsageOID.SERVER_AUTH, ("localhost", "127.0.0.1"), lifetime)
    (folder / "server.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
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
    tmp_path: Path, authority: Authority, days: int, trust: bool, ignored: tuple[str, ...], message: str | None
) -> None:
    """Expired and untrusted server certificates have their own sentences."""
    server = tls_server(tmp_path, authority, datetime.timedelta(days=days))
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


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/api/v1/namespaces", "namespaces"),
        ("/api/v1/namespaces/a", "namespaces"),
        ("/api/v1/namespaces/a/pods/b/status", "pods/status"),
        ("/apis/apps/v1/deployments", "deployments"),
        ("/apis/apps/v1/namespaces/a/deployments/b", "deployments"),
        ("/api", ""),
    ],
)
def test_counts_go_by_resource(path: str, resource: str) -> None:
    """Requests are counted by what they are about."""
    assert resource_of(path) == resource
