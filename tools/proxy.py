"""A real proxy on 127.0.0.1 for tests: HTTP (forwarding and CONNECT) or SOCKS5, with and without a login.

Owns listening, the login and the list of what it was asked for; it resolves names itself, and `hosts` adds names
that no DNS knows.
"""

from __future__ import annotations

import base64
import selectors
import socket
import socketserver
import threading
from types import TracebackType
from urllib.parse import urlsplit

from workers.embedded import ports

_BUFFER = 64 * 1024
_SECONDS = 30.0


class Proxy:
    """The proxy; `login` and `hosts` may change while it runs."""

    def __init__(self, kind: str = "http", login: tuple[str, str] | None = None) -> None:
        """`kind` is http or socks5; `login` is what clients must bring."""
        self.kind = kind
        self.port = ports.reserve()
        self.login = login
        self.hosts: dict[str, str] = {}
        """Name → address."""
        self.seen: list[str] = []
        """`host:port` of every connection that was let through, in order."""
        self.refused = 0
        self._server: _Server | None = None

    @property
    def address(self) -> str:
        """As a Secret's key `address` has it."""
        return f"{self.kind}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve; returns at once ready."""
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="proxy", daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def dial(self, host: str, port: int) -> socket.socket:
        """What a client asked for."""
        self.seen.append(f"{host}:{port}")
        return socket.create_connection((self.hosts.get(host, host), port), _SECONDS)

    def __enter__(self) -> Proxy:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", proxy.port), _Http if proxy.kind == "http" else _Socks)

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that break are the tests' business, not news."""


class _Http(socketserver.StreamRequestHandler):
    server: _Server
    timeout = _SECONDS

    def handle(self) -> None:
        proxy, head = self.server.proxy, self._head()
        if not head:
            return
        method, target, _ = head[0].split(" ", 2)
        sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        wanted = "Basic " + base64.b64encode(":".join(proxy.login).encode()).decode() if proxy.login else None
        if wanted is not None and sent.get("proxy-authorization") != wanted:
            proxy.refused += 1
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        url = urlsplit(target if method != "CONNECT" else f"//{target}")
        try:
            upstream = proxy.dial(url.hostname or "", url.port or 80)
        except OSError:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with upstream:
            if method == "CONNECT":
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                rest = [line for line in head[1:] if not line.lower().startswith(("proxy-", "connection:"))]
                path = url._replace(scheme="", netloc="").geturl() or "/"
                lines = [f"{method} {path} HTTP/1.1", *rest, "Connection: close", "", ""]
                upstream.sendall("\r\n".join(lines).encode())
                upstream.sendall(self.rfile.read(int(sent.get("content-length", 0))))
            _join(self.connection, upstream)

    def _head(self) -> list[str]:
        lines = []
        while line := self.rfile.readline(_BUFFER).decode("latin-1").rstrip("\r\n"):
            lines.append(line)
        return lines


class _Socks(socketserver.StreamRequestHandler):
    server: _Server
    timeout = _SECONDS

    def handle(self) -> None:
        proxy = self.server.proxy
        methods = self.rfile.read(self.rfile.read(2)[1])
        if proxy.login is None:
            self.wfile.write(b"\x05\x00")
        elif 2 not in methods:
            proxy.refused += 1
            self.wfile.write(b"\x05\xff")
            return
        elif not self._knows(proxy.login):
            proxy.refused += 1
            return
        host, port = self._target()
        try:
            upstream = proxy.dial(host, port)
        except OSError:
            self.wfile.write(b"\x05\x05\x00\x01" + bytes(6))
            return
        with upstream:
            self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
            _join(self.connection, upstream)

    def _knows(self, login: tuple[str, str]) -> bool:
        self.wfile.write(b"\x05\x02")
        name = self.rfile.read(self.rfile.read(2)[1])
        password = self.rfile.read(self.rfile.read(1)[0])
        good = (name.decode(), password.decode()) == login
        self.wfile.write(b"\x01\x00" if good else b"\x01\x01")
        return good

    def _target(self) -> tuple[str, int]:
        kind = self.rfile.read(4)[3]
        if kind == 3:
            host = self.rfile.read(self.rfile.read(1)[0]).decode()
        else:
            host = socket.inet_ntop(
                socket.AF_INET if kind == 1 else socket.AF_INET6, self.rfile.read(4 if kind == 1 else 16)
            )
        return host, int.from_bytes(self.rfile.read(2), "big")


def _join(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either side ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select(_SECONDS):
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                data = source.recv(_BUFFER)
                if not data:
                    return
                target.sendall(data)
