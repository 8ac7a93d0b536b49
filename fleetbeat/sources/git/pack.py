"""A pack as a server sent it: checked before it is unfolded, then indexed.

Owns the first look at untrusted bytes. A pass over the pack reads each object's declared size (and, of a delta, the
size that it will unfold to) and throws the inflated bytes away, so that neither a zlib bomb nor a chain of deltas
that doubles at each step is ever held in memory. Only then does dulwich resolve the deltas and compute the object ids,
which are what everything later is looked up by: content cannot differ from its id. A thin pack, whose deltas build on
what the receiver has, is made whole by a copy of that. It does not store references.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dulwich.errors import ChecksumMismatch
from dulwich.object_format import SHA1
from dulwich.pack import (
    PackData,
    PackIndexEntry,
    PackIndexer,
    UnpackedObject,
    UnresolvedDeltas,
    extend_pack,
    write_pack_index_v2,
)

from fleetbeat.errors import ArchiveInvalid, FleetbeatError, GitOperationFailed
from fleetbeat.sources.git.limits import Deadline, GitLimits

_HEADER, _TRAILER = 12, 20
_OFS_DELTA, _REF_DELTA = 6, 7
_CHUNK = 64 * 1024


Bases = Callable[[bytes], tuple[int, bytes]]
"""id (40 hex digits) → type number and content of an object that is here already; KeyError for any other."""


class MissingBase(KeyError):
    """A delta builds on an object that is not where it should be: the pack is bad, or what was here before."""


def add_pack(file: Path, limits: GitLimits, deadline: Deadline, bases: Bases | None = None) -> None:
    """Check and index `file` in place and rename it to `pack-<checksum>.pack`; ArchiveInvalid or GitOperationFailed.

    `bases` are what deltas of a thin pack may build on; with them, MissingBase is raised for one that cannot be read.
    """
    try:
        checksum, entries = _indexed(file, limits, deadline, bases)
    except (FleetbeatError, MissingBase):
        raise
    except UnresolvedDeltas as error:
        if bases is not None:
            raise MissingBase(str(error)) from error
        raise GitOperationFailed(f"the server sent a damaged pack: {error}") from error
    except Exception as error:  # whatever a parser makes of hostile bytes
        raise GitOperationFailed(f"the server sent a damaged pack: {error or type(error).__name__}") from error
    base = file.with_name(f"pack-{checksum.hex()}")
    with base.with_suffix(".idx").open("wb") as index:
        write_pack_index_v2(index, entries, checksum)
    file.rename(base.with_suffix(".pack"))


def _indexed(
    file: Path, limits: GitLimits, deadline: Deadline, bases: Bases | None
) -> tuple[bytes, list[PackIndexEntry]]:
    """The pack's checksum and what its index says, after whatever it lacked was put at its end."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        checksum = _checksum(buffer)
        found = list(_scan(buffer, limits, deadline))
    lookup = _Lookup(bases, limits, deadline) if bases is not None else None
    with PackData(file, SHA1) as data:
        indexer = _indexer(data, found, lookup)
        entries = sorted(indexer)
    if lookup is not None and indexer.ext_refs():
        with file.open("r+b") as extended:
            checksum, more = extend_pack(extended, set(indexer.ext_refs()), lookup.raw, SHA1)
        entries = sorted([*entries, *more])
    return checksum, entries


class _Lookup:
    """Objects that are here already, as dulwich asks for them; under the deadline and a cap."""

    def __init__(self, bases: Bases, limits: GitLimits, deadline: Deadline) -> None:
        self._bases = bases
        self._deadline = deadline
        self._limit = limits.unfolded_bytes
        self._read = 0

    def raw(self, id: bytes) -> tuple[int, bytes]:
        """Type number and content; MissingBase for what is not there or cannot be read."""
        self._deadline.left()
        try:
            kind, content = self._bases(id.hex().encode())
        except Exception as error:  # whatever a damaged mirror makes of itself
            raise MissingBase(id.hex()) from error
        self._read += len(content)
        _check(self._read, self._limit, "what it builds on")
        return kind, content

    def chunks(self, id: bytes) -> tuple[int, bytes | list[bytes]]:
        """The same, for the resolution of deltas."""
        kind, content = self.raw(id)
        return kind, [content]


def _checksum(buffer: mmap.mmap) -> bytes:
    expected = bytes(buffer[-_TRAILER:])
    with memoryview(buffer) as view, view[:-_TRAILER] as body:
        actual = hashlib.sha1(body, usedforsecurity=False).digest()
    if actual != expected:
        raise ChecksumMismatch(expected, actual)
    return expected


@dataclass(frozen=True)
class _Found:
    """One object of a pack: its type number and, of a delta, the distance to or the id of what it builds on."""

    offset: int
    kind: int
    base: int | bytes | None


def _indexer(data: PackData, objects: list[_Found], lookup: _Lookup | None) -> PackIndexer:
    resolve = lookup.chunks if lookup is not None else None
    indexer = PackIndexer(None, SHA1.hash_func, object_format=SHA1, resolve_ext_ref=resolve)
    indexer.set_pack_data(data)
    for found in objects:
        unpacked = UnpackedObject(found.kind, delta_base=found.base, hash_func=SHA1.hash_func)
        unpacked.offset = found.offset
        indexer.record(unpacked)
    return indexer


def _scan(buffer: mmap.mmap, limits: GitLimits, deadline: Deadline) -> Iterator[_Found]:
    magic, version, count = struct.unpack(">4sLL", buffer[:_HEADER])
    if magic != b"PACK" or version not in (2, 3):
        raise ValueError("no pack header")
    if count > limits.objects:
        raise ArchiveInvalid(f"the repository sent {count} objects, more than the {limits.objects} allowed")
    position, unfolded, deltas = _HEADER, 0, 0
    for _ in range(count):
        deadline.left()
        found, size, position = _header(buffer, position)
        _check(size, limits.object_bytes, "one object")
        target, position = _skip(buffer, position, size)
        if found.base is not None:
            _check(target, limits.object_bytes, "one object")
            deltas += target
            _check(deltas, limits.delta_bytes, "all deltas")
            size = max(size, target)
        unfolded += size
        _check(unfolded, limits.unfolded_bytes, "all objects")
        yield found


def _check(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise ArchiveInvalid(f"the repository unfolds to {size} bytes for {what}, more than the {limit} allowed")


def _header(buffer: mmap.mmap, offset: int) -> tuple[_Found, int, int]:
    """Type, declared size and base of the object at `offset`, and where its data begin."""
    byte = buffer[offset]
    kind, size, shift, position = (byte >> 4) & 7, byte & 15, 4, offset + 1
    while byte & 0x80:
        byte = buffer[position]
        size |= (byte & 0x7F) << shift
        shift, position = shift + 7, position + 1
        if shift > 60:
            raise ValueError("an object's size is out of range")
    base: int | bytes | None = None
    if kind == _OFS_DELTA:
        base, position = _distance(buffer, position)
    elif kind == _REF_DELTA:
        base, position = bytes(buffer[position : position + 20]), position + 20
    elif kind not in (1, 2, 3, 4):
        raise ValueError(f"an object has the unknown type {kind}")
    return _Found(offset, kind, base), size, position


def _distance(buffer: mmap.mmap, position: int) -> tuple[int, int]:
    byte = buffer[position]
    value, position = byte & 0x7F, position + 1
    while byte & 0x80:
        byte = buffer[position]
        value, position = ((value + 1) << 7) | (byte & 0x7F), position + 1
        if value > 1 << 60:
            raise ValueError("a delta's base is out of range")
    if value == 0:
        raise ValueError("a delta builds on itself")
    return value, position


def _skip(buffer: mmap.mmap, position: int, size: int) -> tuple[int, int]:
    """Inflate an object without keeping it: the size that it unfolds to if it is a delta, and where the next begins."""
    inflate = zlib.decompressobj()
    head, produced, data = b"", 0, b""
    while not inflate.eof:
        if not data:
            data = buffer[position : position + min(_CHUNK, size + 64)]
            position += len(data)
            if not data:
                raise ValueError("the pack ends within an object")
        out = inflate.decompress(data, min(_CHUNK, size - produced + 1))
        data = inflate.unconsumed_tail
        produced += len(out)
        head += out[: 20 - len(head)] if len(head) < 20 else b""
        if produced > size:
            raise ValueError("an object is larger than declared")
    if produced != size:
        raise ValueError("an object is smaller than declared")
    return _delta_target(head), position - len(inflate.unused_data)


def _delta_target(head: bytes) -> int:
    """The second of the two sizes that a delta begins with: what it unfolds to."""
    value = shift = numbers = 0
    for byte in head:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            numbers += 1
            if numbers == 2:
                return value
            value = shift = 0
    return 0
