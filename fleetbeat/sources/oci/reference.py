"""Names in registries: repositories, tags, digests. Owns their grammar and Docker Hub's special cases; no I/O."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetbeat.errors import InvalidURL, OCIPullFailed

if TYPE_CHECKING:
    from hashlib import _Hash

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HEX = {"sha256": re.compile(r"[a-f0-9]{64}"), "sha512": re.compile(r"[a-f0-9]{128}")}
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_SCHEME = "oci://"
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Repository:
    """One repository of one registry."""

    host: str
    """Host and port as the user wrote them: `ghcr.io`, `127.0.0.1:5000`."""
    name: str
    """`org/app`."""

    @property
    def endpoint(self) -> str:
        """Host and port that answer the API; Docker Hub's are not those of its name."""
        return _DOCKER_HUB[-1] if self.host in _DOCKER_HUB else self.host

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    @classmethod
    def parse(cls, url: str, field: str = "spec.url") -> Repository:
        """`oci://host[:port]/path`, without tag or digest. Raises InvalidURL, whose message names `field`."""
        if not url.startswith(_SCHEME):
            raise InvalidURL(f"{field} {url!r} must begin with oci://")
        host, _, name = url.removeprefix(_SCHEME).rstrip("/").partition("/")
        if "@" in host:
            raise InvalidURL(f"{field} carries an account; put it into a Secret of type kubernetes.io/dockerconfigjson")
        if "@" in name or ":" in name:
            raise InvalidURL(f"{field} {url!r} carries a tag or digest; put it into spec.ref.tag or spec.ref.digest")
        if not _HOST.fullmatch(host) or not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
            raise InvalidURL(f"{field} {url!r} is not of the form oci://host[:port]/path; paths are lower case")
        if host in _DOCKER_HUB and "/" not in name:
            name = f"library/{name}"
        return cls(host, name)


def is_tag(text: str) -> bool:
    """Whether a registry may have such a tag."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether `text` is `sha256:<64 hex>` or `sha512:<128 hex>`, in lower case."""
    algorithm, _, value = text.partition(":")
    return algorithm in _HEX and _HEX[algorithm].fullmatch(value) is not None


def hasher(digest: str) -> _Hash:
    """A fresh hash of the digest's algorithm. Raises OCIPullFailed for anything that is not a digest we can check."""
    if not is_digest(digest):
        raise OCIPullFailed(f"{digest[:100]!r} is no digest that can be verified; sha256 and sha512 are supported")
    return hashlib.new(digest.partition(":")[0])


def digest_of(data: bytes) -> str:
    """`sha256:<hex>` of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def verify(data: bytes, digest: str, what: str) -> None:
    """Raises OCIPullFailed unless `data` has that digest."""
    state = hasher(digest)
    state.update(data)
    if f"{digest.partition(':')[0]}:{state.hexdigest()}" != digest:
        raise OCIPullFailed(f"{what}: the registry's answer does not have the digest {digest}; nothing of it is used")
