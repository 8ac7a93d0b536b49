"""Webhooks wake what they mean, artifacts are served, over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3

from fleetbeat.artifacts.settings import StoreSettings
from fleetbeat.artifacts.store import ArtifactStore, Source
from fleetbeat.hub.doorbell import Doorbell
from fleetbeat.kube.client import KubeClient
from fleetbeat.notify.delivery import MAX_BODY
from fleetbeat.notify.receiver import webhook_path
from fleetbeat.state import State
from tests.support.background import running
from tests.support.hub import Start, User, Worker
from tests.support.wait import until
from workers import web
from workers.embedded.s3 import EmbeddedS3
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.cluster

TOKEN = "s3cret"


@dataclass
class Server:
    """The web role."""

    service: web.Service
    port: int = 0

    def __post_init__(self) -> None:
        self.http = urllib3.PoolManager(retries=False, timeout=10.0)
        self.listening = threading.Event()

    async def serve(self) -> None:
        """Until cancelled."""
        server, self.port = web.listen(self.service, "127.0.0.1", 0)
        self.listening.set()
        try:
            await asyncio.Event().wait()
        finally:
            await web.close(server, self.service)

    def request(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """One request; redirects are not followed."""
        return self.http.request(method, f"http://127.0.0.1:{self.port}{path}", redirect=False, **options)

    def hook(self, path: str, body: bytes = b"{}", **headers: str) -> int:
        """POST a webhook; returns the status code."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, body=body, headers=named).status


@pytest.fixture
def store(s3: EmbeddedS3) -> Iterator[ArtifactStore]:
    """The artifact store."""
    settings = StoreSettings(
        bucket=s3.bucket, endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region
    )
    opened = ArtifactStore(settings)
    yield opened
    opened.close()


@pytest.fixture
def server(state: State, client: KubeClient, store: ArtifactStore) -> Iterator[Server]:
    """The web role at work."""
    serving = Server(web.Service(state, Doorbell(state, client), store))
    with running(serving.serve()):
        assert serving.listening.wait(10)
        yield serving
    serving.http.clear()


def receiver(user: User, worker: Worker, type_: str = "generic-hmac", **spec: Any) -> str:
    """A Receiver whose run has published its path; returns the path."""
    token = {"token": base64.b64encode(TOKEN.encode()).decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "data": token}
    user.client.apply(f"/api/v1/namespaces/{user.namespace}/secrets/token", secret, "user")
    resources = [{"kind": "GitRepository", "name": "*", "matchLabels": {"team": "a"}}]
    ref = user.create("Receiver", "hook", type=type_, secretRef={"name": "token"}, resources=resources, **spec)
    path = webhook_path(TOKEN, "hook", user.namespace)
    conditions = [{"type": "Ready", "status": "True"}]
    worker.run(ref, status={"webhookPath": path, "conditions": conditions})
    return path


def labelled(user: User, worker: Worker, name: str = "repo") -> str:
    """A GitRepository that the Receiver means, idle."""
    ref = user.create("GitRepository", name)
    user.patch(ref, metadata={"labels": {"team": "a"}})
    worker.run(ref)
    until(lambda: b'"team"' in (worker.state.look(ref) or pytest.fail("not registered")).obj)
    return ref


def signature(body: bytes, token: str = TOKEN) -> str:
    """As generic-hmac and GitHub sign."""
    return f"sha256={hmac.new(token.encode(), body, hashlib.sha256).hexdigest()}"


def test_a_believed_webhook_wakes_its_resources(registering: Start, user: User, worker: Worker, server: Server) -> None:
    """Urgently, once however often it comes, with a reason that names the Receiver."""
    with registering():
        ref = labelled(user, worker)
        path = receiver(user, worker)
        body = b'{"ref": "refs/heads/main"}'
        for _ in range(3):
            assert server.hook(path, body, X_Signature=signature(body)) == 200
        until(lambda: not server.service.ringing)
        waiting = worker.state.inspect(ref)
        assert waiting is not None
        assert (waiting.why, waiting.urgent) == (f"webhook {user.namespace}/hook", True)


def test_refusals_have_their_status_codes(
    registering: Start, user: User, worker: Worker, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """And wake nobody; a path is never logged in full."""
    with caplog.at_level(logging.DEBUG), registering():
        ref = labelled(user, worker)
        path = receiver(user, worker, "github", events=["push"])
        signed = {"X_Hub_Signature_256": signature(b"{}")}
        assert server.hook(path) == 400
        assert server.hook(path, X_Hub_Signature_256=signature(b"{}", "other")) == 400
        assert server.hook(path, **signed, X_GitHub_Event="ping") == 400
        assert server.hook(f"/hook/{'0' * 64}", **signed) == 404
        assert server.hook("/hook/x", **signed) == 404
        assert server.request("GET", path).status == 405
        assert server.hook(path, b"x" * (MAX_BODY + 1)) == 413
        assert worker.idle(ref)
        user.patch(f"Receiver/{user.namespace}/hook", spec={"suspend": True})
        until(lambda: (seen := worker.state.inspect(f"Receiver/{user.namespace}/hook")) is not None and seen.suspended)
        assert server.hook(path, **signed, X_GitHub_Event="push") == 503
        assert worker.idle(ref)
    ours = [line.getMessage() for line in caplog.records if not line.name.startswith("urllib3")]
    assert any(line.startswith("404 POST /hook/") for line in ours)
    assert not any(path in line for line in ours)


def test_a_changed_token_ends_the_old_path(registering: Start, user: User, worker: Worker, server: Server) -> None:
    """At once, before the Receiver's own run."""
    with registering():
        path = receiver(user, worker, "generic")
        assert server.hook(path) == 200
        new = {"data": {"token": base64.b64encode(b"new").decode()}}
        user.client.patch(f"/api/v1/namespaces/{user.namespace}/secrets/token", new)
        assert server.hook(path) == 404


def test_webhooks_wait_for_a_rebuilt_registry(
    registering: Start, user: User, worker: Worker, server: Server, valkey: EmbeddedValkey
) -> None:
    """While Redis is empty nobody can be believed: 503, and ready again afterwards."""
    with registering():
        path = receiver(user, worker, "generic")
        assert server.request("GET", "/readyz").status == 200
    with valkey.client() as client:
        client.flushall()
    assert server.hook(path) == 503
    assert server.request("GET", "/readyz").status == 503
    assert server.request("GET", "/healthz").status == 200
    with registering():
        assert server.request("GET", "/readyz").status == 200


def test_a_body_in_chunks_is_limited(registering: Start, user: User, worker: Worker, server: Server) -> None:
    """A sender that names no length is cut off at the limit."""
    with registering():
        path = receiver(user, worker, "generic")
        assert server.request("POST", path, body=iter([b"a" * 1000] * 3), chunked=True).status == 200
        with socket.create_connection(("127.0.0.1", server.port), 10) as sender:
            sender.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            chunk = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
            answer = b""
            try:
                for _ in range(5):
                    sender.sendall(chunk)
                answer = sender.recv(100)
            except OSError:
                pass
            assert not answer or answer.startswith(b"HTTP/1.1 4")  # or the connection was reset


def test_artifacts_are_served(user: User, state: State, server: Server, store: ArtifactStore) -> None:
    """Whole, with length and digest; by redirect where that is wanted; nothing outside the store."""
    data = json.dumps(list(range(100_000))).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    source = Source("GitRepository", user.namespace, "repo", "uid")
    store.put(source, "1234.tar.gz", io.BytesIO(data), digest, len(data))
    url = f"/artifacts/gitrepository/{user.namespace}/repo/1234.tar.gz"
    answer = server.request("GET", url)
    assert (answer.status, answer.data == data) == (200, True)
    assert (answer.headers["Content-Type"], answer.headers["ETag"]) == ("application/gzip", f'"{digest}"')
    head = server.request("HEAD", url)
    assert (head.status, head.data, head.headers["Content-Length"]) == (200, b"", str(len(data)))
    for missing in ("repo/none.tar.gz", "../repo/1234.tar.gz", "repo/../1234.tar.gz", "repo/x/1234.tar.gz"):
        assert server.request("GET", f"/artifacts/gitrepository/{user.namespace}/{missing}").status == 404
    server.service.redirect = True
    redirected = server.request("GET", url)
    assert redirected.status == 302
    assert server.http.request("GET", redirected.headers["Location"]).data == data


@pytest.mark.parametrize(
    ("kind", "filename", "latest"),
    [
        ("GitRepository", "0123456789abcdef.tar.gz", ""),
        ("OCIRepository", "sha256:0123.tar.gz", "latest.tar.gz"),
        ("HelmRepository", "index-0123.yaml", "index.yaml"),
        ("HelmChart", "app-1.0.0+build.7.tgz", "latest.tar.gz"),
        ("Bucket", "0123.tar.gz", "latest.tar.gz"),
        ("ExternalArtifact", "0123.tar.gz", "latest.tar.gz"),
    ],
)
def test_every_kinds_file_names_are_served(
    user: User, state: State, server: Server, store: ArtifactStore, kind: str, filename: str, latest: str
) -> None:
    """As Flux's consumers ask for them, whether they escape `:` and `+` or not; and the stable link."""
    digest = f"sha256:{hashlib.sha256(kind.encode()).hexdigest()}"
    source = Source(kind, user.namespace, "x", "uid")
    store.put(source, filename, io.BytesIO(kind.encode()), digest, len(kind))
    escaped = filename.replace(":", "%3A").replace("+", "%2B")
    for name in filter(None, (filename, escaped, latest)):
        assert server.request("GET", f"/artifacts/{source.path}/{name}").data == kind.encode()
    for name in (f"..%2F{filename}", "%2e%2e", "%00", "%ff"):
        assert server.request("GET", f"/artifacts/{source.path}/{name}").status in (400, 404)


def test_the_stable_link_is_what_is_published(
    registering: Start, user: User, state: State, server: Server, store: ArtifactStore
) -> None:
    """A source that goes back to an earlier content is served as that, though another was stored last."""
    source, ref = Source("Bucket", user.namespace, "x", "uid"), f"Bucket/{user.namespace}/x"
    url = f"/artifacts/{source.path}/latest.tar.gz"
    digests = {text: f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" for text in ("first", "second")}
    for text, digest in digests.items():
        store.put(source, f"{text}.tar.gz", io.BytesIO(text.encode()), digest, len(text))
    with registering():
        for text, digest in digests.items():
            record = {"fence": 1, "key": store.key(source, f"{text}.tar.gz", digest), "size": len(text)}
            assert state.publish_artifact(ref, json.dumps(record).encode())
            assert server.request("GET", url).data == text.encode()
        state.publish_artifact(ref, json.dumps({"fence": 1, "url": "http://elsewhere"}).encode())
        assert server.request("GET", url).status == 200


def test_an_absent_store_is_told(server: Server, state: State) -> None:
    """503 while S3 cannot be read."""
    server.service.store = ArtifactStore(
        StoreSettings(bucket="b", endpoint="http://127.0.0.1:9", access_key="a", secret_key="b")
    )
    assert server.request("GET", "/artifacts/gitrepository/a/b/c.tar.gz").status == 503
