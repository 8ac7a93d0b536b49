"""age: data keys encrypted to X25519 recipients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fleetbeat.errors import BuildFailed

if TYPE_CHECKING:
    from pyrage.x25519 import Identity

_NATIVE = "AGE-SECRET-KEY-1"


def identities(data: bytes, where: str) -> list[Identity]:
    """The identities of a file as `age-keygen` writes it. Raises BuildFailed naming the line, never its content."""
    from pyrage import IdentityError
    from pyrage.x25519 import Identity

    found = []
    for number, raw in enumerate(data.decode(errors="replace").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if not line.startswith(_NATIVE):
            raise BuildFailed(
                f"{where}, line {number} is no age identity: one begins with {_NATIVE} (`age-keygen` makes it); "
                "plugin, post-quantum and SSH keys are not supported"
            )
        try:
            found.append(Identity.from_str(line))
        except IdentityError:
            raise BuildFailed(f"{where}, line {number}: the age identity is damaged; copy it whole") from None
    if not found:
        raise BuildFailed(f"{where} holds no age identity")
    return found


def open_key(encrypted: str, owned: Sequence[Identity]) -> bytes | None:
    """The data key, None when none of the identities is a recipient's."""
    from pyrage import DecryptError, decrypt

    if not owned:
        return None
    try:
        plain: bytes = decrypt(encrypted.encode(), owned)
    except DecryptError:
        return None
    return plain
