"""A TCP connection to a server that does not speak HTTP: direct, or through an account's own proxy.

Owns HTTP CONNECT and SOCKS5 up to the first byte of the server, and the words for what can go wrong. The environment's
proxies are for HTTP and not used here. The caller closes the socket.
"""

from __future__ import annotations

import base64
import re
import socket
from urllib.parse import urlsplit

import socks

from fleetbeat.errors import AuthenticationFailed, GitOperationFailed
from fleetbeat.sources.credentials import Proxy
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.pools import PROXY_LOGIN

_CONNECT_SECONDS = 10.0
_HEAD_BYTES = 16 * 1024


def dial(host: str, port: int, proxy: Proxy | None, deadline: Deadline) -> socket.socket:
    """An open connection; AuthenticationFailed when the proxy refuses the login, GitOperationFailed otherwise."""
    if proxy is None:
        return _direct(host, port, deadline)
    if proxy.address.startswith("socks"):
        return _socks(host, port, proxy, deadline)
    if proxy.address.startswith("https:"):
        raise GitOperationFailed(
            f"ssh cannot use the proxy {proxy.address}: https is for HTTP only; use http or socks5"
        )
    return _connected(host, port, proxy, deadline)


def _direct(host: str, port: int, deadline: Deadline) -> socket.socket:
    try:
        return socket.create_connection((host, port), min(_CONNECT_SECONDS, deadline.left()))
    except socket.gaierror:
        raise GitOperationFailed("unknown host; check the URL and this worker's DNS") from None
    except TimeoutError:
        raise GitOperationFailed("the server does not take connections (timeout)") from None
    except OSError:
        raise GitOperationFailed("the server does not take connections (refused or unreachable)") from None


def _socks(host: str, port: int, proxy: Proxy, deadline: Deadline) -> socket.socket:
    address = urlsplit(proxy.address)
    try:
        opened: socket.socket = socks.create_connection(
            (host, port),
            timeout=min(_CONNECT_SECONDS, deadline.left()),  # type: ignore[arg-type]
            proxy_type=socks.SOCKS5,
            proxy_addr=address.hostname,
            proxy_port=address.port,
            proxy_rdns=True,
            proxy_username=proxy.username,
            proxy_password=proxy.password,
        )
    except OSError as error:
        raise _socks_refusal(getattr(error, "socket_err", None) or error, proxy) from None
    return opened


def _socks_refusal(error: OSError, proxy: Proxy) -> AuthenticationFailed | GitOperationFailed:
    match error:
        case socks.SOCKS5AuthError():
            return _no_access(proxy)
        case socks.SOCKS5Error():
            return GitOperationFailed(f"the proxy {proxy.address} does not reach the server ({error})")
        case _:
            return _no_proxy(proxy)


def _connected(host: str, port: int, proxy: Proxy, deadline: Deadline) -> socket.socket:
    """A tunnel by HTTP CONNECT."""
    address = urlsplit(proxy.address)
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {name} HTTP/1.1", f"Host: {name}"]
    if proxy.username is not None:
        login = base64.b64encode(f"{proxy.username}:{proxy.password or ''}".encode()).decode("ascii")
        lines.append(f"Proxy-Authorization: Basic {login}")
    try:
        seconds = min(_CONNECT_SECONDS, deadline.left())
        opened = socket.create_connection((address.hostname or "", address.port or 80), seconds)
    except OSError:
        raise _no_proxy(proxy) from None
    try:
        opened.sendall("\r\n".join([*lines, "", ""]).encode())
        _check(_head(opened, deadline), proxy)
    except BaseException as error:
        opened.close()
        if isinstance(error, OSError):
            raise _no_proxy(proxy) from None
        raise
    return opened


def _head(opened: socket.socket, deadline: Deadline) -> bytes:
    """The proxy's answer, and not a byte of what the server says after it."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n") and len(head) < _HEAD_BYTES:
        opened.settimeout(min(_CONNECT_SECONDS, deadline.left()))
        byte = opened.recv(1)
        if not byte:
            break
        head += byte
    return bytes(head)


def _check(head: bytes, proxy: Proxy) -> None:
    status = re.match(rb"HTTP/1\.[01] (\d{3})\b", head)
    if status is None or not head.endswith(b"\r\n\r\n"):
        raise _no_proxy(proxy)
    if status[1] == b"407":
        raise _no_access(proxy)
    if status[1] != b"200":
        raise GitOperationFailed(f"the proxy {proxy.address} does not reach the server ({status[1].decode()})")


def _no_access(proxy: Proxy) -> AuthenticationFailed:
    return AuthenticationFailed(f"the proxy {proxy.address} refuses access; {PROXY_LOGIN}")


def _no_proxy(proxy: Proxy) -> GitOperationFailed:
    return GitOperationFailed(
        f"the proxy {proxy.address} cannot be reached; check the address in the Secret of spec.proxySecretRef"
    )
