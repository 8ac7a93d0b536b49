"""A real smart-HTTP Git server on 127.0.0.1 for tests and the demo.

Owns listening, TLS, login, counting and the faults that tests ask for. Git's own `git http-backend` answers; where git
is not installed, dulwich does. Repositories are made and written through `create`, see `tools/gitrepo.py`.
"""

from __future__ import annotations

import base64
import datetime
import hmac
import shutil
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from tools import gitbackend
from tools.gitrepo import GitRepo as GitRepo
from tools.pki import YEAR, Authority, KeyPair
from workers.embedded import ports


@dataclass
class Access:
    """What a request must bring; nothing set means that anybody may read and push."""

    basic: tuple[str, str] | None = None
    bearer: str | None = None

    def allows(self, header: str) -> bool:
        """Whether an Authorization header (may be empty) suffices."""
        wanted = []
        if self.basic:
            wanted.append("Basic " + base64.b64encode(":".join(self.basic).encode()).decode())
        if self.bearer:
            wanted.append(f"Bearer {self.bearer}")
        return not wanted or any(hmac.compare_digest(header.encode(), one.encode()) for one in wanted)


@dataclass
class Faults:
    """What goes wrong; change it at any time."""

    status: int | None = None
    """Answer every request with this HTTP status."""
    headers: dict[str, str] = field(default_factory=dict)
    """And with these headers."""
    delay: float = 0.0
    """Wait this many seconds before each answer."""
    redirects: dict[str, str] = field(default_factory=dict)
    """Repository name → URL that its requests are redirected to."""


@dataclass(frozen=True)
class Seen:
    """One request as it came in. `operation`: info/refs, ls-refs, fetch (upload-pack) or push (receive-pack)."""

    repository: str
    operation: str
    authorization: str
    user_agent: str


class GitServer:
    """The server; `access` and `faults` may change while it runs, stop and start keep the address."""

    def __init__(
        self,
        directory: Path,
        *,
        tls: bool = False,
        client_certificates: bool = False,
        lifetime: datetime.timedelta = YEAR,
    ) -> None:
        """Repositories lie in `directory`.

        `client_certificates` makes TLS ask for one signed by `authority`; a negative `lifetime` makes the server's own
        certificate one that has expired.
        """
        self.directory = directory
        self.port = ports.reserve()
        self.access = Access()
        self.faults = Faults()
        self.seen: list[Seen] = []
        self.authority = Authority("git authority") if tls or client_certificates else None
        self._tls = self._context(client_certificates, lifetime) if self.authority else None
        self._http: ThreadingHTTPServer | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Base URL; repositories are right below it."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def ca(self) -> bytes:
        """The authority that clients must trust, PEM; TLS only."""
        assert self.authority is not None, "the server was made without tls=True"
        return self.authority.certificate

    def client_certificate(self, name: str = "client") -> KeyPair:
        """A client certificate that the server accepts; TLS only."""
        assert self.authority is not None, "the server was made without tls=True"
        return self.authority.client(name)

    def create(self, name: str) -> GitRepo:
        """A new bare repository (or the existing one of that name) at `<url>/<name>`."""
        return GitRepo(self.directory / name, f"{self.url}/{name}")

    def counts(self, repository: str | None = None) -> Counter[str]:
        """How many requests came in, by operation."""
        return Counter(one.operation for one in self.seen if repository in (None, one.repository))

    def start(self) -> None:
        """Serve; returns at once ready."""
        if self._http is None:
            self._http = _Listener(self, self._tls)
            threading.Thread(target=self._http.serve_forever, args=(0.02,), name="git-server", daemon=True).start()

    def stop(self) -> None:
        """Stop listening; connections are then refused."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def serves(self, listener: ThreadingHTTPServer) -> bool:
        """Whether this is the listener in use: connections that outlive a stop get no answer."""
        return listener is self._http

    def _context(self, client_certificates: bool, lifetime: datetime.timedelta) -> ssl.SSLContext:
        assert self.authority is not None
        context = self.authority.server("127.0.0.1", "localhost", lifetime=lifetime).server_context()
        if client_certificates:
            context.load_verify_locations(cadata=self.ca.decode())
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def __enter__(self) -> GitServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, git: GitServer, tls: ssl.SSLContext | None) -> None:
        self.git = git
        super().__init__(("127.0.0.1", git.port), _Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up or fail the handshake are the tests' business, not news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Listener

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def _answer(self, body: bytes) -> None:
        git = self.server.git
        if not git.serves(self.server):
            self.close_connection = True  # kept alive from before a stop
            return
        url = urlsplit(self.path)
        repository = url.path.strip("/").split("/", 1)[0]
        login = self.headers.get("Authorization", "")
        operation = _operation(url.path, url.query, body)
        git.seen.append(Seen(repository, operation, login, self.headers.get("User-Agent", "")))
        time.sleep(git.faults.delay)
        if git.faults.status:
            self._end(git.faults.status, git.faults.headers)
        elif repository in git.faults.redirects:
            rest = self.path.split(repository, 1)[1]
            self._end(302, {"Location": git.faults.redirects[repository] + rest})
        elif not git.access.allows(login):
            self._end(401, {"WWW-Authenticate": 'Basic realm="git"'})
        else:
            request = gitbackend.Request(self.command, url.path, url.query, dict(self.headers.items()), body)
            reply = (gitbackend.git if has_git() else gitbackend.dulwich)(git.directory, request)
            self._end(reply.status, reply.headers, reply.body)

    def _end(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: `GitServer.seen` is the log."""


def has_git() -> bool:
    """Whether Git itself can answer; without it dulwich does."""
    return shutil.which("git") is not None


def _operation(path: str, query: str, body: bytes) -> str:
    if path.endswith("/info/refs"):
        return "push" if parse_qs(query).get("service") == ["git-receive-pack"] else "info/refs"
    if path.endswith("/git-receive-pack"):
        return "push"
    return "ls-refs" if b"command=ls-refs" in body[:200] else "fetch"
