"""Which keys a server may show, as the lines of a known_hosts file tell.

Owns the file's format (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): patterns, negation, hashed names, `[host]:port`, the
marker `@revoked`. Nothing is ever added: a server that is not in the file is not spoken to. Certificates are not
supported: a line marked `@cert-authority` trusts nobody. No I/O.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass

from fleetbeat.errors import AuthenticationFailed

PORT = 22


@dataclass(frozen=True)
class HostKeys:
    """The keys of one server, as they go over the wire."""

    name: str
    """`host`, or `[host]:port` where the port is not 22."""
    trusted: frozenset[bytes]
    revoked: frozenset[bytes] = frozenset()

    @property
    def kinds(self) -> set[str]:
        """The types of the trusted keys: `ssh-ed25519` and the like."""
        return {_kind(key) for key in self.trusted}

    def check(self, key: bytes) -> None:
        """AuthenticationFailed unless `key` is one of the server's."""
        shown = f"{_kind(key)} {fingerprint(key)}"
        if key in self.revoked:
            raise AuthenticationFailed(f"{self.name} shows a host key that known_hosts marks as revoked: {shown}")
        if key not in self.trusted:
            raise AuthenticationFailed(
                f"{self.name} shows another host key than those in known_hosts: {shown}. Somebody may be in between. If"
                f" the server did change its key, put the new line into the Secret ({keyscan(self.name)})"
            )


def host_keys(text: bytes, host: str, port: int) -> HostKeys:
    """The keys of that server among the lines of `text`; AuthenticationFailed when there are none."""
    name = host.lower() if port == PORT else f"[{host.lower()}]:{port}"
    lines = [line for line in _lines(text) if _matches(line.names, name)]
    trusted = frozenset(line.key for line in lines if not line.marker)
    revoked = frozenset(line.key for line in lines if line.marker == "@revoked")
    if trusted - revoked:
        return HostKeys(name, trusted - revoked, revoked)
    certified = any(line.marker == "@cert-authority" for line in lines)
    hint = ", only a @cert-authority, which is not supported" if certified else ""
    raise AuthenticationFailed(
        f"known_hosts has no key of {name}{hint}; check the server's key and put its line into the Secret"
        f" ({keyscan(name)})"
    )


def fingerprint(key: bytes) -> str:
    """As `ssh-keygen -l` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode("ascii").rstrip("=")


def keyscan(name: str) -> str:
    """The command that prints a server's keys."""
    host, _, port = name.removeprefix("[").partition("]:")
    return f"ssh-keyscan -p {port} {host}" if port else f"ssh-keyscan {host}"


@dataclass(frozen=True)
class _Line:
    marker: str
    names: str
    key: bytes


def _lines(text: bytes) -> Iterator[_Line]:
    """Every line with a key; what cannot be read trusts nobody, so it is passed over."""
    for raw in text.decode("utf-8", "replace").splitlines():
        fields = raw.split()
        if not fields or fields[0].startswith("#"):
            continue
        marker = fields.pop(0) if fields[0].startswith("@") else ""
        if len(fields) < 3:
            continue
        try:
            key = base64.b64decode(fields[2], validate=True)
        except binascii.Error:
            continue
        if _kind(key) == fields[1]:
            yield _Line(marker, fields[0], key)


def _kind(key: bytes) -> str:
    """The type that a key begins with."""
    return key[4 : 4 + int.from_bytes(key[:4], "big")].decode("ascii", "replace")[:64]


def _matches(names: str, name: str) -> bool:
    """Whether a line is about that server: a hashed name, or patterns of which none says no."""
    if names.startswith("|"):
        return _is_hash_of(names, name)
    found = False
    for pattern in names.lower().split(","):
        if _pattern(pattern.removeprefix("!")).fullmatch(name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _is_hash_of(text: str, name: str) -> bool:
    parts = text.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, expected = base64.b64decode(parts[2], validate=True), base64.b64decode(parts[3], validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), expected)


def _pattern(text: str) -> re.Pattern[str]:
    """`*` and `?` as in a shell; brackets stand for themselves."""
    return re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."))
