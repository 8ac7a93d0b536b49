"""Connections to upstream servers, shared by all runs of a process that trust and present the same certificates.

Owns TLS settings, the environment's proxy, and the words for what can go wrong on the way. A pool carries no password
or token: these go with each request. Client certificates are part of a pool, so accounts never share one.
"""

from __future__ import annotations

import ssl
import tempfile
from functools import lru_cache
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import PoolManager, ProxyManager
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import make_headers

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.sources.credentials import HttpCredentials


def pool(url: str, credentials: HttpCredentials) -> PoolManager:
    """The pool for that URL's proxy and those certificates."""
    return _pool(_proxy(url), credentials.ca, credentials.certificate, credentials.key)


@lru_cache(maxsize=64)
def _pool(proxy: str | None, ca: bytes | None, certificate: bytes | None, key: bytes | None) -> PoolManager:
    context = _tls(ca, certificate, key)
    if proxy is None:
        return PoolManager(num_pools=64, maxsize=2, ssl_context=context)
    parts = urlsplit(proxy)
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    headers = make_headers(proxy_basic_auth=login) if login else None
    return ProxyManager(address, num_pools=64, maxsize=2, ssl_context=context, proxy_headers=headers)


def _tls(ca: bytes | None, certificate: bytes | None, key: bytes | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    # As lenient about old authorities as other Git clients: a chain may end in any certificate that is trusted.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        if ca is not None:
            context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise AuthenticationFailed("the key ca.crt of the Secret holds no PEM certificate that can be read") from error
    if certificate is not None and key is not None:
        _present(context, certificate, key)
    return context


def _present(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load a client certificate; the ssl module takes files only, so it passes through one that is gone at once."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.rstrip() + b"\n" + key)
        file.flush()
        try:
            context.load_cert_chain(file.name, password=lambda: b"")
        except (ssl.SSLError, ValueError) as error:
            raise AuthenticationFailed("the keys tls.crt and tls.key of the Secret are not a usable pair") from error


def _proxy(url: str) -> str | None:
    """The proxy of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY) for that URL."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return getproxies().get(parts.scheme) or None


def describe(error: HTTPError) -> str:
    """What went wrong on the way to a server, in one line and without the URL."""
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


def _remedy(reason: str) -> str:
    if "expired" in reason:
        return "; the server needs a new certificate"
    if "issuer" in reason or "self-signed" in reason or "self signed" in reason:
        return "; put the server's authority into the Secret's key ca.crt"
    return ""


def _reason(error: SSLError) -> str:
    inner = error.args[0] if error.args else error
    return getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or "no common protocol"
