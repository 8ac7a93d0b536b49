"""An archive's parts: runs of entries that are compressed each for itself, so that equal runs have equal bytes.

Owns where a chunk ends, what it is known by, and how check sums of parts become that of the whole. All of it depends on
the entries alone: whoever has a chunk from an earlier archive copies it, whoever has not compresses it, and both have
the same bytes. It knows neither Git nor where earlier archives are kept.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Protocol

import msgspec

ENTRIES = 64
"""How many entries a chunk has on average; a power of two."""
_FORMAT = f"1 {zlib.ZLIB_RUNTIME_VERSION}"
_POLYNOMIAL = 0xEDB88320


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """One chunk of a finished archive."""

    key: str
    """What it was made of; empty when that cannot be told without reading it."""
    offset: int
    """Where it begins in the archive."""
    size: int
    """Its compressed bytes."""
    crc: int
    """CRC-32 of what it unfolds to."""
    length: int
    """Bytes that it unfolds to."""
    content: int
    """Bytes of its files."""


class Known(Protocol):
    """Chunks of earlier archives."""

    def find(self, key: str) -> tuple[Chunk, BinaryIO] | None:
        """The chunk of that key with the archive that it lies in, which was verified; None when it must be made."""

    def made(self, chunk: Chunk) -> Chunk:
        """A chunk was made by reading its files; returns it as it may be used again, without its key if it may not."""


class Part(Protocol):
    """What an entry says of itself."""

    @property
    def path(self) -> str: ...
    @property
    def id(self) -> bytes: ...
    @property
    def executable(self) -> bool: ...
    @property
    def is_directory(self) -> bool: ...


def ends_chunk(path: str) -> bool:
    """Whether the entry at `path` is the last of its chunk: by its path alone, so that other entries move no end."""
    return zlib.crc32(path.encode("utf-8", "surrogateescape")) % ENTRIES == 0


def key_of(parts: Iterable[Part], limits: object) -> str:
    """What a chunk of these entries is known by under these limits; empty where the content of one has no id."""
    state = hashlib.sha256(f"{_FORMAT} {limits!r}".encode())
    for part in parts:
        if not part.id and not part.is_directory:
            return ""
        path = part.path.encode("utf-8", "surrogateescape")
        kind = b"d" if part.is_directory else b"x" if part.executable else b"f"
        state.update(b"%b %d %b %d %b" % (kind, len(path), path, len(part.id), part.id))
    return state.hexdigest()


def copied(chunk: Chunk, file: BinaryIO) -> Iterator[bytes]:
    """The bytes of a chunk out of the archive that it lies in."""
    file.seek(chunk.offset)
    left = chunk.size
    while left:
        piece = file.read(min(left, 1024 * 1024))
        if not piece:
            raise EOFError("an archive is shorter than its chunks")
        left -= len(piece)
        yield piece


def combined_crc(first: int, second: int, length: int) -> int:
    """CRC-32 of two byte strings after each other, from those of the parts and the length of the second.

    Appending n bytes multiplies the first one's remainder by x^8n modulo the polynomial, as zlib's crc32_combine does.
    """
    return _times(_power(8 * length), first) ^ second


def _times(a: int, b: int) -> int:
    """a · b modulo the polynomial; bit 31 is x^0."""
    product, bit = 0, 1 << 31
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
        bit >>= 1
    return product


def _power(n: int) -> int:
    """x^n modulo the polynomial."""
    result, square = 1 << 31, 1 << 30
    while n:
        if n & 1:
            result = _times(square, result)
        square = _times(square, square)
        n >>= 1
    return result
