"""A scripted HTTP server: a registry that misbehaves as no real one would, or the API of a vendor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

from tools.pki import KeyPair


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What is answered; Content-Length is added unless `headers` has it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Script = Callable[[Request], Reply]


class FakeRegistry:
    """Answers by path through `on`; anything else is 404. `seen` is the log."""

    def __init__(self, identity: KeyPair | None = None) -> None:
        """identity: makes it speak TLS."""
        self.seen: list[Request] = []
        self._scripts: dict[str, Script] = {}
        self._http = _Listener(self)
        if identity is not None:
            self._http.socket = identity.server_context().wrap_socket(self._http.socket, server_side=True)

    def on(self, path: str, reply: Reply | Script) -> None:
        """Answer `path` (without query) so from now on."""
        self._scripts[path] = reply if callable(reply) else lambda _: reply

    def reply(self, request: Request) -> Reply:
        """The scripted answer."""
        self.seen.append(request)
        return self._scripts.get(request.path, lambda _: Reply(404))(request)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def host(self) -> str:
        """`127.0.0.1:<port>`"""
        return f"127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        """`METHOD /path` of every request."""
        return [f"{request.method} {request.path}" for request in self.seen]

    def __enter__(self) -> FakeRegistry:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), name="fake-registry", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fake: FakeRegistry) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are the tests' business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Listener

    def _answer(self) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        reply = self.server.fake.reply(Request(self.command, url.path, url.query, headers, body))
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: `FakeRegistry.seen` is the log."""
