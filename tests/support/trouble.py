"""A server in front of a real API server that passes requests on, until it is told to make trouble.

What it answers itself is what overloaded API servers and broken networks do; everything else is the API server's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

import urllib3

from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.connections import open_pool

OVERLOADED = "overloaded"
"""429, try again at once."""
SWALLOWED = "swallowed"
"""The connection ends before the request gets through."""
UNHEARD = "unheard"
"""The request gets through; the connection ends before its answer does."""

Trouble = Callable[[str, str], str]
"""(method, path with query) → one of the above, or "" to pass the request on."""


class Troubled:
    """The server; set `trouble` at any time."""

    def __init__(self, config: ClusterConfig) -> None:
        self.trouble: Trouble = lambda method, path: ""
        self._pool = open_pool(config, 8)
        self._server = config.server
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._lock = threading.Lock()

    @property
    def config(self) -> ClusterConfig:
        """How a client reaches the API server through it, as the account of the original configuration."""
        return ClusterConfig(f"http://127.0.0.1:{self._http.server_port}")

    def __enter__(self) -> Troubled:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._pool.clear()

    def judge(self, method: str, path: str) -> str:
        """Which trouble this request meets; one at a time, so that counting is exact."""
        with self._lock:
            return self.trouble(method, path)

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> urllib3.BaseHTTPResponse:
        """The API server's answer."""
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
        return self._pool.request(method, self._server + path, body=body or None, headers=kept, retries=False)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                trouble = front.judge(self.command, self.path)
                if trouble == SWALLOWED:
                    self.close_connection = True
                    return
                if trouble == OVERLOADED:
                    self._say(429, {"Retry-After": "0"}, b"too many requests")
                    return
                answer = front.forward(self.command, self.path, dict(self.headers), body)
                if trouble == UNHEARD:
                    self.close_connection = True
                    return
                kind = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
                self._say(answer.status, kind, answer.data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

            def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        return Handler


def is_write(method: str, path: str) -> bool:
    """Whether a request changes something: no read and no dry run."""
    return method != "GET" and "dryRun" not in urlsplit(path).query
