"""How a bucket is logged in to: from the decoded data of Secrets to typed access.

Owns the names of the keys (Flux's) and what must come together. Values never appear in a message or a `repr`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.sources.credentials import Proxy

Data = Mapping[str, bytes]


@dataclass(frozen=True)
class Keys:
    """A pair of keys; temporary ones come with a token."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Access:
    """How to log in, whom to trust, and by which way; without anything, an anonymous visitor."""

    keys: Keys | None = None
    ambient: bool = False
    """True: without keys, the worker's own cloud identity is used."""
    sts: str = ""
    """URL of the service that gives temporary credentials for the worker's web identity."""
    ca: bytes | None = field(default=None, repr=False)
    """PEM: authorities trusted besides the system's."""
    certificate: bytes | None = field(default=None, repr=False)
    """PEM: the client's own certificate chain; comes with `key`."""
    key: bytes | None = field(default=None, repr=False)
    proxy: Proxy | None = None


def keys_of(data: Data, secret: str) -> Keys:
    """Read `accesskey` and `secretkey`; `secret` is `namespace/name`, for messages."""
    access, hidden = _text(data, "accesskey", secret), _text(data, "secretkey", secret)
    if not access or not hidden:
        missing = "accesskey" if not access else "secretkey"
        raise AuthenticationFailed(f"Secret {secret} lacks the key {missing}; a bucket needs accesskey and secretkey")
    return Keys(access, hidden)


def certificates_of(data: Data, secret: str) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Read `ca.crt`, and `tls.crt` with `tls.key`."""
    ca, certificate, key = (data.get(name) or None for name in ("ca.crt", "tls.crt", "tls.key"))
    if (certificate is None) != (key is None):
        missing = "tls.crt" if certificate is None else "tls.key"
        raise AuthenticationFailed(f"Secret {secret} lacks the key {missing}; a client certificate needs both")
    if ca is None and certificate is None:
        raise AuthenticationFailed(f"Secret {secret} has neither ca.crt nor tls.crt and tls.key")
    return ca, certificate, key


def _text(data: Data, key: str, secret: str) -> str:
    """The value as one line; empty when absent."""
    try:
        text = (data.get(key) or b"").decode("utf-8")
    except UnicodeDecodeError:
        raise AuthenticationFailed(f"Secret {secret}: the key {key} is not UTF-8 text") from None
    if any(character in text for character in "\r\n\0"):
        raise AuthenticationFailed(f"Secret {secret}: the key {key} contains a line break; remove it (echo -n)")
    return text
