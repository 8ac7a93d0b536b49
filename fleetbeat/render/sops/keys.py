"""What opens data keys: identities and credentials out of a Secret, and the ways to key services.

Whoever fills a `Keys` decides whose they are; it never reads the environment of the worker by itself. Its `repr` shows
no key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from fleetbeat.errors import BuildFailed
from fleetbeat.render.sops import age, pgp

if TYPE_CHECKING:
    from pyrage.x25519 import Identity
    from pysequoia import PyDecryptor

Post = Callable[[str, Mapping[str, str], bytes], tuple[int, bytes]]
"""Sends a POST to (URL, headers, body) and returns status and body; raises CannotOpen when nobody answers."""

AGE, PGP = ".agekey", ".asc"
VAULT, AWS, AZURE, GCP = "sops.vault-token", "sops.aws-kms", "sops.azure-kv", "sops.gcp-kms"
"""The keys of a Secret that are read, as Flux names them."""


class CannotOpen(Exception):
    """One key of a file is not ours, or its service refuses; others may do. The text holds nothing secret."""


class Login(Protocol):
    """An identity at the vendors' key services; each of these raises CannotOpen where it has none."""

    def aws(self, region: str) -> Any:
        """botocore's session."""

    def azure(self) -> Any:
        """azure-identity's credential, to be closed."""

    def google(self, scopes: Sequence[str]) -> Any:
        """google-auth's credentials."""


@dataclass(frozen=True)
class Keys:
    """Everything that may open a data key."""

    where: str = "nothing"
    """Where they come from, for messages."""
    age: tuple[Identity, ...] = field(default=(), repr=False)
    pgp: tuple[PyDecryptor, ...] = field(default=(), repr=False)
    vault_token: str = field(default="", repr=False)
    aws: Mapping[str, str] | None = field(default=None, repr=False)
    """Access key; None leaves it to `login`, as the next two do."""
    azure: Mapping[str, Any] | None = field(default=None, repr=False)
    gcp: Mapping[str, Any] | None = field(default=None, repr=False)
    login: Login | None = field(default=None, repr=False)
    """Whose identity serves; None leaves it to the worker's own."""
    vault_login: Callable[[str], str] | None = field(default=None, repr=False)
    """A token for the Vault server at an address, where there is no `vault_token`; raises CannotOpen."""
    post: Post | None = field(default=None, repr=False)
    """How key services that are plain HTTP are reached."""


def keys_of(data: Mapping[str, bytes], where: str, post: Post | None = None) -> Keys:
    """The keys in the data of the Secret `where`. Raises BuildFailed naming the entry that cannot be read."""
    identities, decryptors = [], []
    for name in sorted(data):
        entry = f"{where}: key {name!r}"
        if name.endswith(AGE):
            identities += age.identities(data[name], entry)
        elif name.endswith(PGP):
            decryptors += pgp.decryptors(data[name], entry)
    return Keys(
        where=where,
        age=tuple(identities),
        pgp=tuple(decryptors),
        vault_token=_text(data, VAULT, where),
        aws=_document(data, AWS, where),
        azure=_document(data, AZURE, where),
        gcp=_document(data, GCP, where),
        post=post,
    )


def only_age(data: Mapping[str, bytes], where: str, post: Post | None = None) -> Keys:
    """The age identities alone: what the Secret of a whole installation may give to everybody."""
    return keys_of({name: value for name, value in data.items() if name.endswith(AGE)}, where, post)


def _text(data: Mapping[str, bytes], name: str, where: str) -> str:
    try:
        text = data.get(name, b"").decode("ascii").strip()
    except UnicodeDecodeError:
        raise BuildFailed(f"{where}: key {name!r} is no plain text") from None
    if any(ord(character) < 33 for character in text):
        raise BuildFailed(f"{where}: key {name!r} has spaces or line breaks inside; put the token alone into it")
    return text


def _document(data: Mapping[str, bytes], name: str, where: str) -> dict[str, Any] | None:
    if name not in data:
        return None
    try:
        found = yaml.load(_unmarked(data[name]), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError):
        raise BuildFailed(f"{where}: key {name!r} is neither YAML nor JSON") from None
    if not isinstance(found, dict):
        raise BuildFailed(f"{where}: key {name!r} is no mapping of names to values")
    return found


def _unmarked(raw: bytes) -> str:
    """`az` on Windows writes UTF-16 with a mark."""
    return raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
