"""What a person reads when an API server gives no answer or accepts no credential: which server, why, what to do.

Owns sentences only. Nothing of a credential is in them: of certificates, the date.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
from datetime import UTC, datetime

import urllib3

from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import Unauthorized, Unreachable, from_response

TIMEOUT = "Timeout"
"""The `status_reason` of an Unreachable that cost its caller the whole timeout."""
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


def unreachable(config: ClusterConfig, error: BaseException) -> Unreachable:
    """The error for a request that got no answer."""
    slow = any(_is_timeout(cause) for cause in _chain(error))
    message = f"API server {config.server} cannot be reached: {_why(config, error)}"
    return Unreachable(message, status_reason=TIMEOUT if slow else "")


def unauthorized(config: ClusterConfig, body: bytes) -> Unauthorized:
    """The error for 401; who asks for our tokens is told."""
    answer = from_response(401, body)
    if config.refused is not None:
        config.refused()
    expiry = certificate_expiry(config.client_cert) if config.client_cert and config.token is None else None
    if expiry is not None and expiry < datetime.now(UTC):
        why = f"the client certificate expired at {expiry:%Y-%m-%dT%H:%M:%SZ}; renew it in the kubeconfig"
    elif config.refused is not None:
        why = "the token was refused (Unauthorized); the cluster must know its issuer, its audience and whose it is"
    else:
        why = "the credentials were refused (Unauthorized); renew the token or certificate in the kubeconfig"
    return Unauthorized(f"API server {config.server}: {why}", status=401, status_reason=answer.status_reason)


def _why(config: ClusterConfig, error: BaseException) -> str:
    chain = _chain(error)
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _verification(config, cause)
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or 'no reason given'})"
        if _is_timeout(cause):
            return "no answer in time"
        if isinstance(cause, socket.gaierror):
            return "unknown host"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
    return f"{type(error).__name__}" + (f" ({chain[-1].strerror})" if getattr(chain[-1], "strerror", None) else "")  # type: ignore[attr-defined]


def _verification(config: ClusterConfig, error: ssl.SSLCertVerificationError) -> str:
    hint = "; insecure-skip-tls-verify is ignored" if "cluster.insecure-skip-tls-verify" in config.ignored else ""
    if "expired" in error.verify_message:
        return f"the server's certificate has expired{hint}"
    return f"the server's certificate is not trusted ({error.verify_message}){hint}"


def _is_timeout(error: BaseException) -> bool:
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return False  # counted among the timeouts by urllib3, whatever its cause
    return isinstance(error, (TimeoutError, urllib3.exceptions.TimeoutError))


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it wraps, outermost first; urllib3 hides the cause in `reason` or `args`."""
    chain: list[BaseException] = []
    todo: list[object] = [error]
    while todo:
        current = todo.pop(0)
        if isinstance(current, BaseException) and current not in chain:
            chain.append(current)
            todo += [getattr(current, "reason", None), current.__cause__, current.__context__, *current.args]
    return chain


def certificate_expiry(pem: bytes) -> datetime | None:
    """`notAfter` of the first certificate in `pem`; None when it cannot be read.

    Walks the DER far enough to find the validity: the standard library reads certificates of peers only.
    """
    found = _CERTIFICATE.search(pem)
    if found is None:
        return None
    try:
        certificate = _children(base64.b64decode(found[1]))[0][1]
        fields = _children(_children(certificate)[0][1])
        if fields[0][0] == 0xA0:  # the optional explicit version
            fields = fields[1:]
        tag, value = _children(fields[3][1])[1]
        text = value.decode("ascii")
        if tag == 0x17:  # UTCTime: two-digit years turn at 2050 (RFC 5280)
            text = ("20" if text[:2] < "50" else "19") + text
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except (ValueError, IndexError):
        return None


def _children(der: bytes) -> list[tuple[int, bytes]]:
    """The (tag, content) pairs that follow each other in `der`."""
    found = []
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        found.append((tag, der[at : at + length]))
        at += length
    return found
