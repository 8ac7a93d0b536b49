"""A real chart repository on 127.0.0.1 for tests and the demo: a folder of packages and an index that helm writes.

Owns listening, TLS, login, conditional requests, counting and the faults that tests ask for. Charts are packaged by the
`helm` of tools/binaries.py, so that what is read here is what its users have.
"""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import yaml

from tools import binaries
from tools.gitserver import Access
from tools.pki import Authority
from workers.embedded import ports

TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-{{ .Chart.Name }}"}
data: {values: {{ toJson .Values | quote }}}
"""


@dataclass
class Faults:
    """What goes wrong; change it at any time."""

    status: int | None = None
    """Answer every request with this HTTP status."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent along with such a status."""
    delay: float = 0.0
    """Wait this many seconds before each answer."""
    redirects: dict[str, str] = field(default_factory=dict)
    """Path → URL that it is redirected to."""


@dataclass(frozen=True)
class Seen:
    """One request as it came in, and the status of its answer."""

    path: str
    authorization: str
    status: int


def helm(*words: str, cwd: Path | None = None) -> str:
    """What the helm command prints; raises CalledProcessError, whose stderr says why."""
    with tempfile.TemporaryDirectory() as home:
        env = {"HOME": home, "PATH": "/usr/bin:/bin", "HELM_CACHE_HOME": f"{home}/c", "HELM_CONFIG_HOME": f"{home}/h"}
        command = [str(binaries.find("helm")), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd, env=env)
    if done.returncode:
        raise RuntimeError(f"helm {words[0]}: {done.stderr.strip()}")
    return done.stdout


def write_chart(
    directory: Path, name: str, version: str, files: Mapping[str, str] | None = None, **fields: object
) -> Path:
    """The source of a small chart in `directory`: a ConfigMap with the value `colour`; `fields` go to Chart.yaml."""
    template = TEMPLATE
    content = {
        "Chart.yaml": yaml.safe_dump({"apiVersion": "v2", "name": name, "version": version, **fields}),
        "values.yaml": "colour: blue\n",
        "templates/map.yaml": template,
        **(files or {}),
    }
    for path, text in content.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return directory


class ChartServer:
    """The server; `access` and `faults` may change while it runs, stop and start keep the address."""

    def __init__(self, directory: Path, *, tls: bool = False) -> None:
        """Packages and index lie in `directory`."""
        self.directory = directory
        self.port = ports.reserve()
        self.access = Access()
        self.faults = Faults()
        self.seen: list[Seen] = []
        self.authority = Authority("chart authority") if tls else None
        self._tls = self.authority.server("127.0.0.1", "localhost").server_context() if self.authority else None
        self._http: ThreadingHTTPServer | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """What is above the index.yaml."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def ca(self) -> bytes:
        """The authority that clients must trust, PEM; TLS only."""
        assert self.authority is not None, "the server was made without tls=True"
        return self.authority.certificate

    def add(self, name: str, version: str, files: Mapping[str, str] | None = None, **fields: object) -> Path:
        """Package a small chart (see write_chart) and write the index anew; returns the package."""
        with tempfile.TemporaryDirectory() as scratch:
            source = write_chart(Path(scratch) / name, name, version, files, **fields)
            helm("package", str(source), "--destination", str(self.directory))
        self.index()
        return self.directory / f"{name}-{version}.tgz"

    def index(self, *options: str) -> None:
        """Let helm write the index of what lies in the folder."""
        helm("repo", "index", str(self.directory), *options)

    def count(self, path: str, status: int | None = None) -> int:
        """How many requests for a path (such as `/index.yaml`) came in, or were answered so."""
        return sum(one.path == path and status in (None, one.status) for one in self.seen)

    def start(self) -> None:
        """Serve; returns at once ready."""
        if self._http is None:
            self._http = _Listener(self, self._tls)
            threading.Thread(target=self._http.serve_forever, args=(0.02,), name="charts", daemon=True).start()

    def stop(self) -> None:
        """Stop listening; connections are then refused."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def serves(self, listener: ThreadingHTTPServer) -> bool:
        """Whether this is the listener in use: connections that outlive a stop get no answer."""
        return listener is self._http

    def __enter__(self) -> ChartServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, charts: ChartServer, tls: ssl.SSLContext | None) -> None:
        self.charts = charts
        super().__init__(("127.0.0.1", charts.port), _Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up or fail the handshake are the tests' business, not news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Listener

    def do_GET(self) -> None:
        charts = self.server.charts
        if not charts.serves(self.server):
            self.close_connection = True  # kept alive from before a stop
            return
        path = urlsplit(self.path).path
        time.sleep(charts.faults.delay)
        status, headers, body = self._answer(charts, path)
        charts.seen.append(Seen(path, self.headers.get("Authorization", ""), status))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, charts: ChartServer, path: str) -> tuple[int, dict[str, str], bytes]:
        if charts.faults.status:
            return charts.faults.status, charts.faults.headers, b""
        if path in charts.faults.redirects:
            return 302, {"Location": charts.faults.redirects[path]}, b""
        if not charts.access.allows(self.headers.get("Authorization", "")):
            return 401, {"WWW-Authenticate": 'Basic realm="charts"'}, b""
        file = charts.directory / path.lstrip("/")
        if ".." in path or not file.is_file():
            return 404, {}, b"no such file"
        body = file.read_bytes()
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.headers.get("If-None-Match") == tag:
            return 304, {"ETag": tag}, b""
        return 200, {"ETag": tag}, body

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: `ChartServer.seen` is the log."""
