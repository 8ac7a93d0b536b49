"""Accounts of registries: what pull secrets hold, and which of their entries is meant for which registry.

Owns the format of `.dockerconfigjson` and the aliases of Docker Hub. Values never appear in a message or a `repr`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.sources.credentials import HttpCredentials
from fleetbeat.sources.oci.reference import Repository

KEY = ".dockerconfigjson"
_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
_NO_USER = "<token>"  # how Docker's own client writes an identity token into the field of the user name


@dataclass(frozen=True)
class Login:
    """An account of a registry; everything is optional."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    identity_token: str | None = field(default=None, repr=False)
    """Is exchanged at the registry's token server."""
    registry_token: str | None = field(default=None, repr=False)
    """Goes to the registry as it is."""
    whose: str = field(default="", repr=False)
    """With a login that a cloud gave: the service account; equal tokens of two accounts are not one login."""

    @property
    def basic(self) -> str | None:
        """The value of an Authorization header with user name and password, or None."""
        if not self.username:
            return None
        pair = f"{self.username}:{self.password or ''}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"

    @property
    def fingerprint(self) -> str:
        """Hex digest that differs when any part differs: separates the tokens of different accounts."""
        parts = (self.username, self.password, self.identity_token, self.registry_token, self.whose)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


NOBODY = Login()


@dataclass(frozen=True)
class Access:
    """How to reach a registry, and as whom."""

    login: Login = NOBODY
    trust: HttpCredentials = field(default_factory=HttpCredentials)
    """Authorities, client certificate and proxy (`ca`, `certificate`, `key`, `proxy`); its account is not used."""
    insecure: bool = False
    """Where HTTPS is not spoken, plain HTTP will do; without `trust.ca`, any certificate will."""
    advice: str = field(default="it asks for credentials: set spec.secretRef", compare=False)
    """What to do when the registry refuses us; the last part of the message."""

    @property
    def fingerprint(self) -> str:
        """Hex digest: what one access learnt of a server is used by its equals only, for trust decides who answers."""
        parts = (self.login.fingerprint, self.trust.fingerprint, self.insecure)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


class _Auth(msgspec.Struct, frozen=True):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class _Config(msgspec.Struct, frozen=True):
    auths: dict[str, _Auth] = {}


_DECODER = msgspec.json.Decoder(_Config)


def find_login(data: Mapping[str, bytes], secret: str, repository: Repository) -> Login | None:
    """The account for that repository in a Secret of type kubernetes.io/dockerconfigjson; None when it names none.

    `secret` is `namespace/name`, for messages. Raises AuthenticationFailed when the Secret is of no use.
    """
    raw = data.get(KEY)
    if raw is None:
        raise AuthenticationFailed(
            f"Secret {secret} lacks the key {KEY}; it must be of type kubernetes.io/dockerconfigjson"
        )
    try:
        auths = _DECODER.decode(raw).auths
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise AuthenticationFailed(f"Secret {secret}: the key {KEY} is not a Docker configuration") from None
    entry = _entry(auths, repository)
    return None if entry is None else _login(entry, secret, repository.host)


def _entry(auths: Mapping[str, _Auth], repository: Repository) -> _Auth | None:
    """The entry with the longest path that leads to the repository."""
    hosts = _HUB if repository.host in _HUB else (repository.host,)
    best: tuple[int, _Auth] | None = None
    for key, entry in auths.items():
        host, path = _split(key)
        fits = host in hosts and (not path or f"{repository.name}/".startswith(f"{path}/"))
        if fits and (best is None or len(path) > best[0]):
            best = len(path), entry
    return best[1] if best else None


def _split(key: str) -> tuple[str, str]:
    """Host and path of a key of `auths`: `https://index.docker.io/v1/`, `ghcr.io`, `ghcr.io/org`."""
    host, _, path = key.partition("://")[2 if "://" in key else 0].strip("/").partition("/")
    return host, "" if path in ("v1", "v2") else path


def _login(entry: _Auth, secret: str, host: str) -> Login:
    username, password = entry.username, entry.password
    if entry.auth and not username:
        try:
            text = base64.b64decode(entry.auth, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise AuthenticationFailed(f"Secret {secret}: auth of {host} is not base64 of user:password") from None
        username, colon, password = text.rstrip("\0").partition(":")
        if not colon:
            raise AuthenticationFailed(f"Secret {secret}: auth of {host} is not base64 of user:password")
    if username == _NO_USER:
        return Login(identity_token=password)
    token = entry.registrytoken
    if not token.isprintable() or not token.isascii():
        raise AuthenticationFailed(f"Secret {secret}: registrytoken of {host} is not printable text")
    return Login(username or None, password or None, entry.identitytoken or None, token or None)
