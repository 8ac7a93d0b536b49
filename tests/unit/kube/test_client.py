"""The client's manners: what it sends, what it makes of answers, retries, limits and redirects."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import orjson
import pytest

from fleetbeat.kube import client, connections
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
from tests.support.hostile import scripted_server
from tests.support.scripted import Server

pytestmark = pytest.mark.unit

OBJECT = {"kind": "Thing"}


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
    monkeypatch.setattr(connections, "MAX_RESPONSE", 1000)
    server.says((200, {}, b"x" * 2000))
    with pytest.raises(Unreachable):
        kube.get("/api/v1/things")


def test_answers_that_drip_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that come one by one, each in time, hold nobody for ever; the request is not tried again."""
    monkeypatch.setattr(connections, "LONGEST_RESPONSE", 0.2)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        with suppress(OSError):
            for _ in range(1000):
                handler.wfile.write(b" ")
                time.sleep(0.02)

    with scripted_server(drip) as (url, seen), closing(KubeClient(ClusterConfig(url))) as client:
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="no answer in time"):
            client.get("/api/v1/things")
        assert len(seen) == 1
        assert time.monotonic() - begun < 10


def test_deletes_carry_preconditions(server: Server, kube: KubeClient) -> None:
    """uid and resourceVersion go along, so that only that very object is deleted."""
    server.says((200, {}, {}))
    kube.delete("/api/v1/things/a", uid="u", resource_version="7")
    body = orjson.loads(server.requests[0][3])
    assert body["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    assert body["propagationPolicy"] == "Background"


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
