"""From the decoded data of a Secret to a typed credential.

Owns the names of the keys (Flux's) and the rules of what goes together. Values never appear in a message or a `repr`;
an error names the Secret and the key. It reads no Secret itself.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from fleetbeat.errors import AuthenticationFailed, InvalidProvider

PROXIES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True)
class Proxy:
    """The proxy that all requests of an account pass through, instead of the environment's."""

    address: str
    """`scheme://host:port`, scheme http, https or socks5h; without a login, so safe in messages."""
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class HttpCredentials:
    """How to log in to an HTTP(S) server, whom to trust and which way to go; everything is optional."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    bearer_token: str | None = field(default=None, repr=False)
    ca: bytes | None = field(default=None, repr=False)
    """PEM: authorities trusted besides the system's."""
    certificate: bytes | None = field(default=None, repr=False)
    """PEM: the client's own certificate chain; comes with `key`."""
    key: bytes | None = field(default=None, repr=False)
    proxy: Proxy | None = None
    identity: str | None = field(default=None, repr=False)
    """Whose short-lived token this is, where username and password or token change although the account does not."""

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
        login = (self.username, self.password, self.bearer_token) if self.identity is None else self.identity
        return _digest(login, self.ca, self.certificate, self.key, self.proxy and _all_of(self.proxy))


ANONYMOUS = HttpCredentials()


@dataclass(frozen=True)
class SshCredentials:
    """How to log in to an SSH server, and which servers to trust; the user stands in the URL."""

    identity: bytes = field(repr=False)
    """The private key, as ssh-keygen or OpenSSL write it."""
    known_hosts: bytes = field(repr=False)
    """Lines of a known_hosts file: no other server is spoken to."""
    passphrase: bytes | None = field(default=None, repr=False)
    proxy: Proxy | None = None
    origin: str = field(default="the Secret", compare=False)
    """Where the key comes from, for messages: `Secret namespace/name`."""

    @property
    def fingerprint(self) -> str:
        """Hex digest that differs when any part differs: separates caches of different accounts."""
        return _digest("ssh", self.identity, self.known_hosts, self.passphrase, self.proxy and _all_of(self.proxy))


Account = HttpCredentials | SshCredentials
"""Who asks a Git server, whom he trusts and which way he goes: all that a shared answer must have in common."""


def _all_of(proxy: Proxy) -> tuple[str | None, ...]:
    return proxy.address, proxy.username, proxy.password


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def git_http_credentials(data: Mapping[str, bytes], secret: str) -> HttpCredentials:
    """Read `bearerToken`, or else `username` and `password`; `ca.crt` (or `caFile`); `tls.crt` with `tls.key`.

    A token beside a username wins, as with Flux.
    `secret` is `namespace/name`, for messages. Raises AuthenticationFailed when the keys contradict each other.
    """
    username, password, token = (_header_safe(data, key, secret) for key in ("username", "password", "bearerToken"))
    certificate, key = data.get("tls.crt") or None, data.get("tls.key") or None
    if token is not None:
        username = password = None
    if username is None and token is None and "identity" in data:
        raise AuthenticationFailed(
            f"Secret {secret} holds a login for ssh (the key identity), but the URL is one for HTTP; add username and"
            " password, or write an ssh:// URL"
        )
    if password is not None and username is None:
        raise AuthenticationFailed(f"Secret {secret} has a password but no username; add the key username")
    if any(name.startswith("githubApp") for name in data):
        raise InvalidProvider(f"Secret {secret} has the keys of a GitHub App; set spec.provider to github")
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


def git_ssh_credentials(data: Mapping[str, bytes], secret: str) -> SshCredentials:
    """Read `identity`, `known_hosts` and `password`, the key's passphrase; AuthenticationFailed when one is missing."""
    for key, made_by in (("identity", "ssh-keygen"), ("known_hosts", "ssh-keyscan")):
        if not (data.get(key) or b"").strip():
            raise AuthenticationFailed(
                f"Secret {secret} lacks the key {key}, which ssh needs (what {made_by} prints); it has"
                f" {', '.join(sorted(data)) or 'no key at all'}"
            )
    origin = f"Secret {secret} (spec.secretRef)"
    return SshCredentials(data["identity"], data["known_hosts"], data.get("password") or None, origin=origin)


def proxy_of(data: Mapping[str, bytes], secret: str) -> Proxy:
    """Read `address`, and `username` and `password`; AuthenticationFailed when they are no proxy."""
    address, username, password = (_header_safe(data, key, secret) for key in ("address", "username", "password"))
    if address is None:
        raise AuthenticationFailed(f"Secret {secret} lacks the key address, such as http://proxy.example:3128")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in PROXIES:
        raise AuthenticationFailed(
            f"Secret {secret}: the key address is not a proxy; write {', '.join(PROXIES[:-1])} as in"
            " http://proxy.example:3128"
        )
    if password is not None and username is None:
        raise AuthenticationFailed(f"Secret {secret} has a password but no username; add the key username")
    if username is None and parts.username:
        username, password = unquote(parts.username), unquote(parts.password or "")
    # The proxy resolves names: those of its side are meant.
    scheme = "socks5h" if parts.scheme == "socks5" else parts.scheme
    default = {"http": 80, "https": 443}.get(scheme, 1080)
    return Proxy(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or default}", username, password)


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
