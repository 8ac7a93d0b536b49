"""From the decoded data of a Secret to a typed credential.

Owns the names of the keys (Flux's) and the rules of what goes together. Values never appear in a message or a `repr`;
an error names the Secret and the key. It reads no Secret itself.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetbeat.errors import AuthenticationFailed


@dataclass(frozen=True)
class HttpCredentials:
    """How to log in to an HTTP(S) server, and whom to trust; everything is optional."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    bearer_token: str | None = field(default=None, repr=False)
    ca: bytes | None = field(default=None, repr=False)
    """PEM: authorities trusted besides the system's."""
    certificate: bytes | None = field(default=None, repr=False)
    """PEM: the client's own certificate chain; comes with `key`."""
    key: bytes | None = field(default=None, repr=False)

    @property
    def authorization(self) -> str | None:
        """The value of the Authorization header, or None."""
        if self.bearer_token is not None:
            return f"Bearer {self.bearer_token}"
        if self.username is None:
            return None
        pair = f"{self.username}:{self.password or ''}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"

    @property
    def fingerprint(self) -> str:
        """Hex digest that differs when any part differs: separates caches of different accounts."""
        parts = (self.username, self.password, self.bearer_token, self.ca, self.certificate, self.key)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


ANONYMOUS = HttpCredentials()


def git_http_credentials(data: Mapping[str, bytes], secret: str) -> HttpCredentials:
    """Read `username` and `password`, or `bearerToken`; `ca.crt` (or `caFile`); `tls.crt` with `tls.key`.

    `secret` is `namespace/name`, for messages. Raises AuthenticationFailed when the keys contradict each other.
    """
    username, password, token = (_header_safe(data, key, secret) for key in ("username", "password", "bearerToken"))
    certificate, key = data.get("tls.crt") or None, data.get("tls.key") or None
    if token is not None and (username is not None or password is not None):
        raise AuthenticationFailed(f"Secret {secret} has both bearerToken and username or password; keep one of them")
    if password is not None and username is None:
        raise AuthenticationFailed(f"Secret {secret} has a password but no username; add the key username")
    if (certificate is None) != (key is None):
        missing = "tls.crt" if certificate is None else "tls.key"
        raise AuthenticationFailed(f"Secret {secret} lacks the key {missing}; a client certificate needs both")
    ca = data.get("ca.crt") or data.get("caFile") or None
    found = HttpCredentials(username, password, token, ca, certificate, key)
    if found == ANONYMOUS:
        raise AuthenticationFailed(
            f"Secret {secret} has none of the keys for HTTP: username and password, bearerToken, ca.crt, tls.crt and"
            f" tls.key; it has {', '.join(sorted(data)) or 'no key at all'}"
        )
    return found


def _header_safe(data: Mapping[str, bytes], key: str, secret: str) -> str | None:
    """The value as text; None when absent or empty. A line break would end the header that carries it."""
    value = data.get(key)
    if not value:
        return None
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise AuthenticationFailed(f"Secret {secret}: the key {key} is not UTF-8 text") from None
    if any(character in text for character in "\r\n\0"):
        raise AuthenticationFailed(f"Secret {secret}: the key {key} contains a line break; remove it (echo -n)")
    return text
