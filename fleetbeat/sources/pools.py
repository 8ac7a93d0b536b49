"""Connections to upstream servers, shared by all runs of a process that trust and present the same certificates.

Owns TLS settings, the proxy (an account's own, else the environment's), and the words for what can go wrong on the way.
A pool carries no password or token of a server: these go with each request. Client certificates and proxies with their
login are part of a pool, so accounts never share one.
"""

from __future__ import annotations

import base64
import re
import ssl
import tempfile
from functools import lru_cache
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import PoolManager, ProxyManager, disable_warnings
from urllib3.contrib.socks import SOCKSProxyManager
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.sources.credentials import HttpCredentials, Proxy

PROXY_LOGIN = "check username and password in the Secret of spec.proxySecretRef"
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
_LOGIN_REFUSED = (
    "Tunnel connection failed: 407",
    "SOCKS5 authentication failed",
    "authentication methods were rejected",
    "requested username/password authentication",
)

disable_warnings(InsecureRequestWarning)  # who sets verify to False means it


def host_of(url: str) -> str:
    """Host and port of a URL, without a login; empty where it names none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def pool(url: str, credentials: HttpCredentials, *, verify: bool = True) -> PoolManager:
    """The pool for that URL's proxy and those certificates; without `verify` the server may show any certificate."""
    return _pool(credentials.proxy or _proxy(url), credentials.ca, credentials.certificate, credentials.key, verify)


@lru_cache(maxsize=64)
def _pool(
    proxy: Proxy | None, ca: bytes | None, certificate: bytes | None, key: bytes | None, verify: bool
) -> PoolManager:
    context = _tls(ca, certificate, key)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if proxy is None:
        return PoolManager(num_pools=64, maxsize=2, ssl_context=context)
    name, password = proxy.username, proxy.password or ""
    if proxy.address.startswith("socks"):
        secret = None if name is None else password
        return SOCKSProxyManager(proxy.address, name, secret, num_pools=64, maxsize=2, ssl_context=context)
    headers = {"proxy-authorization": f"Basic {_base64(f'{name}:{password}')}"} if name is not None else None
    return ProxyManager(
        proxy.address,
        num_pools=64,
        maxsize=2,
        ssl_context=context,
        proxy_headers=headers,
        proxy_ssl_context=_tls(ca, None, None),
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _tls(ca: bytes | None, certificate: bytes | None, key: bytes | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    _load(context, ca, certificate, key)
    # As lenient about old authorities as other Git clients: a chain may end in any certificate that is trusted.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def usable(credentials: HttpCredentials, origin: str) -> HttpCredentials:
    """The same; raises AuthenticationFailed, which names `origin`, when its certificates cannot be read."""
    if credentials.ca is not None or credentials.certificate is not None:
        _check(credentials.ca, credentials.certificate, credentials.key, origin)
    return credentials


@lru_cache(maxsize=64)
def _check(ca: bytes | None, certificate: bytes | None, key: bytes | None, origin: str) -> None:
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca, certificate, key, origin)


def _load(
    context: ssl.SSLContext, ca: bytes | None, certificate: bytes | None, key: bytes | None, origin: str = "the Secret"
) -> None:
    try:
        if ca is not None:
            context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise AuthenticationFailed(f"the key ca.crt of {origin} holds no PEM certificate that can be read") from error
    if certificate is not None and key is not None:
        _present(context, certificate, key, origin)


def _present(context: ssl.SSLContext, certificate: bytes, key: bytes, origin: str) -> None:
    """Load a client certificate; the ssl module takes files only, so it passes through one that is gone at once."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.rstrip() + b"\n" + key)
        file.flush()
        try:
            context.load_cert_chain(file.name, password=lambda: b"")
        except (ssl.SSLError, ValueError) as error:
            raise AuthenticationFailed(f"the keys tls.crt and tls.key of {origin} are not a usable pair") from error


def _proxy(url: str) -> Proxy | None:
    """The proxy of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY) for that URL."""
    parts = urlsplit(url)
    found = None if proxy_bypass(parts.netloc.rpartition("@")[2]) else getproxies().get(parts.scheme)
    if not found:
        return None
    proxy = urlsplit(found)
    login = (unquote(proxy.username), unquote(proxy.password or "")) if proxy.username else (None, None)
    return Proxy(proxy._replace(netloc=proxy.netloc.rpartition("@")[2]).geturl(), *login)


def is_stale(error: HTTPError) -> bool:
    """Whether a connection broke that may have been closed while nobody used it; a new one is worth a try."""
    if isinstance(error, ProxyError):  # so is a broken connection to a proxy called
        return isinstance(error.original_error, (ConnectionError, ProtocolError))
    return isinstance(error, ProtocolError)


def speaks_no_tls(error: Exception) -> bool:
    """Of a failed handshake: whether the server answered in plain text."""
    return any(sign in str(error) for sign in _NOT_TLS)


def describe(error: HTTPError, proxy: Proxy | None = None) -> str:
    """What went wrong on the way to a server, in one line and without the URL; `proxy` is the account's own."""
    if proxy is not None and (words := _of_proxy(error, proxy)):
        return words
    match error:
        case NameResolutionError():
            return "unknown host; check the URL and this worker's DNS"
        case NewConnectionError():
            return "the server does not take connections (refused or unreachable)"
        case ConnectTimeoutError():
            return "the server does not take connections (timeout)"
        case ReadTimeoutError():
            return "the server did not answer in time"
        case ProxyError():
            return "the proxy of this worker's environment cannot be used"
        case SSLError():
            return f"TLS failed: {_reason(error)}{_remedy(_reason(error))}"
        case _:
            return f"the connection broke: {type(error).__name__}"


def _of_proxy(error: HTTPError, proxy: Proxy) -> str:
    """What is wrong with an account's own proxy, or with what it was asked for; empty for anything else."""
    if not isinstance(error, (ProxyError, NewConnectionError, ConnectTimeoutError)):
        return ""
    text = str(error)
    if any(sign in text for sign in _LOGIN_REFUSED):
        return f"the proxy {proxy.address} refuses access; {PROXY_LOGIN}"
    if refused := re.search(r"Tunnel connection failed: (\d+)|(0x0\d: [A-Za-z ]+)", text):
        return f"the proxy {proxy.address} does not reach the server ({refused[1] or refused[2]})"
    return f"the proxy {proxy.address} cannot be reached; check the address in the Secret of spec.proxySecretRef"


def _remedy(reason: str) -> str:
    if "expired" in reason:
        return "; the server needs a new certificate"
    if "issuer" in reason or "self-signed" in reason or "self signed" in reason:
        return "; put the server's authority into the Secret's key ca.crt"
    return ""


def _reason(error: SSLError) -> str:
    inner = error.args[0] if error.args else error
    return getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or "no common protocol"
