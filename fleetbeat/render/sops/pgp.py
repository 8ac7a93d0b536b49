"""OpenPGP: data keys encrypted to a key pair, opened by Sequoia without a gpg beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fleetbeat.errors import BuildFailed

if TYPE_CHECKING:
    from pysequoia import PyDecryptor, Tsk
    from pysequoia.packet import Packet


_BLOCK = re.compile(rb"-----BEGIN PGP (P[A-Z]+ KEY BLOCK)-----.*?-----END PGP \1-----", re.DOTALL)


def decryptors(data: bytes, where: str) -> list[PyDecryptor]:
    """What decrypts, of an armored export of secret keys. Raises BuildFailed naming `where`."""
    from pysequoia.packet import PacketPile

    found = []
    try:
        packets = [packet for block in _BLOCK.finditer(data) for packet in PacketPile.from_bytes(block[0])]
        pairs = [pair for group in _groups(packets) for pair in _pairs(group)]
    except Exception:  # the library raises bare RuntimeErrors
        raise BuildFailed(f"{where} is not an armored PGP key (`gpg --armor --export-secret-keys`)") from None
    for pair in pairs:
        try:
            found.append(pair.decryptor())
        except Exception as error:
            if "is encrypted" in str(error):
                raise BuildFailed(f"{where} has a passphrase; export a key without one") from None
    if not found:
        raise BuildFailed(
            f"{where} holds no secret PGP key that decrypts and has not expired (`gpg --armor --export-secret-keys`)"
        )
    return found


def _groups(packets: Sequence[Packet]) -> Iterator[list[Packet]]:
    """The packets of each secret key; public keys in between are passed over."""
    from pysequoia.packet import Tag

    group: list[Packet] = []
    for packet in packets:
        if packet.tag in (Tag.SecretKey, Tag.PublicKey):
            if group:
                yield group
            group = []
        if group or packet.tag == Tag.SecretKey:
            group.append(packet)
    if group:
        yield group


def _pairs(group: list[Packet]) -> Iterator[Tsk]:
    """The key as it is, and for each subkey one that has no other secret: Sequoia looks at a single one."""
    from pysequoia import Tsk
    from pysequoia.packet import PacketPile, Tag

    whole = Tsk.from_packets(group)
    yield whole
    public = list(PacketPile.from_bytes(bytes(whole.extract_certificate())))
    for subkey in group:
        if subkey.tag == Tag.SecretSubkey:
            yield Tsk.from_packets([subkey if one.fingerprint == subkey.fingerprint else one for one in public])


def open_key(encrypted: str, owned: Sequence[PyDecryptor]) -> bytes | None:
    """The data key, None when none of the secret keys fits."""
    from pysequoia import decrypt

    for key in owned:
        try:
            plain = decrypt(encrypted.encode(), decryptor=key).bytes
        except Exception:  # noqa: S112 - the library raises bare RuntimeErrors; the next key may fit
            continue
        if plain is not None:
            return plain
    return None
