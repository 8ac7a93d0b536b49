"""The data key of an encrypted text, by any of the keys that it was encrypted to.

Within a group one key suffices; of several groups as many as the threshold must be opened, and Shamir's scheme puts the
data key together. Keys that are at hand are tried before services are asked, as sops does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any

import msgspec

from fleetbeat.errors import BuildFailed
from fleetbeat.render.sops import age, aws, azure, gcp, pgp, vault
from fleetbeat.render.sops.keys import CannotOpen, Keys
from fleetbeat.render.sops.shamir import combine

Entry = Mapping[str, Any]
Open = Callable[[Entry, Keys], bytes]

MAX_KEYS = 64
"""Keys of one text that are tried: each may be a request to a service, and the text chooses them."""


_KINDS = ("age", "pgp", "kms", "gcp_kms", "hckms", "azure_kv", "hc_vault")
"""In the order in which they are tried."""


class _Group(msgspec.Struct, frozen=True):
    age: tuple[dict[str, Any], ...] | None = None
    pgp: tuple[dict[str, Any], ...] | None = None
    kms: tuple[dict[str, Any], ...] | None = None
    gcp_kms: tuple[dict[str, Any], ...] | None = None
    hckms: tuple[dict[str, Any], ...] | None = None
    azure_kv: tuple[dict[str, Any], ...] | None = None
    hc_vault: tuple[dict[str, Any], ...] | None = None

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Kind and fields of each key, in the order in which they are tried."""
        for kind in _KINDS:
            for entry in getattr(self, kind) or ():
                yield kind, entry


class Metadata(_Group, frozen=True):
    """The sops block of a text, as far as it leads to the data key."""

    key_groups: tuple[_Group, ...] | None = None
    shamir_threshold: int = 0
    mac: str = ""

    @property
    def groups(self) -> Sequence[_Group]:
        """The groups: keys outside of any are the only one."""
        return (self,) if any(True for _ in self.entries()) else self.key_groups or ()


def metadata_of(block: Any, where: str) -> Metadata:
    """The sops block in JSON form; raises BuildFailed naming the text `where`."""
    try:
        return msgspec.convert(block, Metadata, strict=False)
    except msgspec.ValidationError as error:
        raise BuildFailed(f"{where}: its sops block is malformed: {error}") from None


def data_key(metadata: Metadata, keys: Keys, where: str, until: float) -> bytes:
    """The data key of the text `where`. Raises BuildFailed telling why each of its keys could not be used.

    No key service is asked after `until` (by the monotonic clock).
    """
    groups = metadata.groups
    if not groups:
        raise BuildFailed(f"{where}: its sops block names no key; encrypt it with sops again")
    if sum(1 for group in groups for _ in group.entries()) > MAX_KEYS:
        raise BuildFailed(f"{where}: it is encrypted to more than {MAX_KEYS} keys")
    needed = 1 if len(groups) == 1 else metadata.shamir_threshold or len(groups)
    parts: list[bytes] = []
    refusals: list[str] = []
    for group in groups:
        if len(parts) == needed:
            break
        part = _open_group(group, keys, refusals, until)
        if part is not None:
            parts.append(part)
    if len(parts) < needed:
        raise BuildFailed(_cannot(where, keys, refusals, f"{len(parts)} of {needed} key groups" if needed > 1 else ""))
    if len(groups) == 1:
        return parts[0]
    try:
        return combine(parts)
    except ValueError:
        raise BuildFailed(f"{where}: its key groups do not fit together; encrypt it with sops again") from None


def _open_group(group: _Group, keys: Keys, refusals: list[str], until: float) -> bytes | None:
    for kind, entry in group.entries():
        if kind not in ("age", "pgp") and monotonic() > until:
            refusals.append("the time that spec.timeout allows is over")
            return None
        try:
            text(entry, "enc")
            return _OPENERS[kind](entry, keys)
        except CannotOpen as refusal:
            refusals.append(str(refusal))
    return None


def _cannot(where: str, keys: Keys, refusals: Sequence[str], shortfall: str) -> str:
    why = "; ".join(dict.fromkeys(refusals))
    short = f" ({shortfall} opened)" if shortfall else ""
    return (
        f"{where} cannot be decrypted with {keys.where}{short}: {why}. Add a key to it, or encrypt to one that is there"
    )


def text(entry: Entry, name: str) -> str:
    """A field of a key's entry; raises CannotOpen when it is no text."""
    value = entry.get(name)
    if not isinstance(value, str):
        raise CannotOpen(f"a key of its sops block has no {name}")
    return value


def _age(entry: Entry, keys: Keys) -> bytes:
    found = age.open_key(text(entry, "enc"), keys.age)
    if found is None:
        raise CannotOpen(f"no identity of the age recipient {text(entry, 'recipient')[:80]}")
    return found


def _pgp(entry: Entry, keys: Keys) -> bytes:
    found = pgp.open_key(text(entry, "enc"), keys.pgp)
    if found is None:
        raise CannotOpen(f"no secret key of the PGP fingerprint {text(entry, 'fp')[:80]}")
    return found


def _huawei(entry: Entry, keys: Keys) -> bytes:
    raise CannotOpen("Huawei Cloud KMS is not supported")


_OPENERS: Mapping[str, Open] = {
    "age": _age,
    "pgp": _pgp,
    "kms": aws.open_key,
    "gcp_kms": gcp.open_key,
    "hckms": _huawei,
    "azure_kv": azure.open_key,
    "hc_vault": vault.open_key,
}
