"""Deterministic archives: the same entries give the same bytes, in any process, on any machine.

Owns the byte format of an artifact (tar.gz as Flux's consumers expect it: files and directories only, uid and gid 0,
no owner names, zero mtimes, modes 0600, 0700 and 0750 unless entries bring theirs) and the limits that a hostile source
meets. It knows neither Git nor S3: entries come from an iterator, bytes go to a file object while they are hashed.

What fixes the bytes: the order of the entries (the caller's, who sorts), GNU tar headers, a gzip header with neither
name nor time, and deflate at level 6 with 32 KiB window and memory level 8, begun anew after every entry that ends a
chunk (chunks.py). So what an earlier archive has of the same entries may be copied from it. The result is one ordinary
gzip stream. Deflate itself is not canonical: zlib and zlib-ng (which some distributions and Python builds for Windows
and Fedora link instead) find different matches at the same level. Workers of one image therefore agree; workers with
different zlib builds make archives of equal content and different digest. That costs a second upload, never a wrong
result: the revision stays equal, and consumers' renders are keyed by what they read, not by the archive.
"""

from __future__ import annotations

import hashlib
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import msgspec

from fleetbeat.artifacts.chunks import Chunk, Known, combined_crc, copied, ends_chunk, key_of
from fleetbeat.errors import ArchiveInvalid

MIB = 1024 * 1024
FILE_MODE, EXECUTABLE_MODE, DIRECTORY_MODE = 0o600, 0o700, 0o750
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no flags, mtime 0, OS unknown
_BLOCK = tarfile.BLOCKSIZE
_NOBODY = b"0000000\0"
_REST = bytes(100) + tarfile.GNU_MAGIC + bytes(247)
_FIXED_SUM = sum(_REST) + 8 * ord(" ")
_BATCH = 256 * 1024


@dataclass(frozen=True)
class Limits:
    """What an archive may hold; anything beyond fails the run and leaves the last good artifact in place."""

    entries: int = 250_000
    """Files and directories."""
    file_bytes: int = 256 * MIB
    """Size of one file."""
    total_bytes: int = 2048 * MIB
    """Sum of all file sizes."""
    path_bytes: int = 4096
    """Length of one path."""
    depth: int = 255
    """Directories above one file."""


@dataclass(frozen=True)
class Entry:
    """One file, or one directory when `read` is None; `path` is relative, `/`-separated, without a trailing slash."""

    path: str
    read: Callable[[], bytes] | None = None
    executable: bool = False
    id: bytes = b""
    """What the content is known by where that is told before it is read: equal ids, equal content."""
    mode: int = 0
    """Permission bits to write down; 0: the usual ones. Such an entry has no `id`, which tells nothing of them."""

    @property
    def is_directory(self) -> bool:
        return self.read is None


@dataclass(frozen=True)
class Archive:
    """A finished archive: `file` is open at its start and belongs to the caller."""

    file: BinaryIO
    digest: str
    """`sha256:<hex>` of the compressed bytes."""
    size: int
    """Compressed size in bytes."""
    entries: int
    chunks: tuple[Chunk, ...] = ()
    """What another archive may copy from this one."""

    def close(self) -> None:
        self.file.close()


def write_archive(
    entries: Iterable[Entry], out: BinaryIO, limits: Limits | None = None, known: Known | None = None
) -> Archive:
    """Write `entries` as tar.gz to the empty, seekable `out` and rewind it; raises ArchiveInvalid on unsafe input.

    What `known` has is copied instead of read and compressed; the bytes are the same with and without it.
    """
    limits = limits or Limits()
    sink = _GzipSink(out)
    seen: set[str] = set()
    total = 0
    for run in _runs(entries, seen, limits):
        chunk = _write_run(sink, run, total, limits, known)
        total += chunk.content
    sink.finish()
    out.seek(0)
    digest = f"sha256:{sink.sha256.hexdigest()}"
    return Archive(out, digest, sink.size, len(seen), tuple(chunk for chunk in sink.chunks if chunk.key))


def _runs(entries: Iterable[Entry], seen: set[str], limits: Limits) -> Iterator[list[Entry]]:
    """The entries, checked, chunk by chunk."""
    run: list[Entry] = []
    for entry in entries:
        _check_path(entry.path, seen, limits)
        run.append(entry)
        if ends_chunk(entry.path):
            yield run
            run = []
    if run:
        yield run


def _write_run(sink: _GzipSink, run: list[Entry], total: int, limits: Limits, known: Known | None) -> Chunk:
    """One chunk, copied where it is known; `total` is the size of all files before it."""
    key = key_of(run, limits) if known is not None else ""
    found = known.find(key) if known is not None and key else None
    if found is not None:
        _check_sizes(run[-1].path, 0, total + found[0].content, limits)
        return sink.copy(*found)
    content = 0
    for entry in run:
        data = b"" if entry.read is None else entry.read()
        content += len(data)
        _check_sizes(entry.path, len(data), total + content, limits)
        _write_entry(sink, entry, data)
    return sink.end_chunk(key, content, known)


def _check_path(path: str, seen: set[str], limits: Limits) -> None:
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise ArchiveInvalid(f"the path {path!r} is not safe in an archive: it is absolute or leaves its root")
    if len(path.encode("utf-8", "surrogateescape")) > limits.path_bytes or len(parts) > limits.depth:
        raise ArchiveInvalid(
            f"the path {path[:80]!r}… is longer than {limits.path_bytes} bytes or nests deeper than {limits.depth}"
        )
    if path in seen:
        raise ArchiveInvalid(f"the path {path!r} occurs twice")
    seen.add(path)
    if len(seen) > limits.entries:
        raise ArchiveInvalid(f"more than {limits.entries} files and directories; exclude some by spec.ignore")


def _check_sizes(path: str, size: int, total: int, limits: Limits) -> None:
    if size > limits.file_bytes:
        raise ArchiveInvalid(f"{path} has {size} bytes, more than the {limits.file_bytes} allowed; exclude it")
    if total > limits.total_bytes:
        raise ArchiveInvalid(f"the files add up to more than {limits.total_bytes} bytes; exclude some by spec.ignore")


def _write_entry(sink: _GzipSink, entry: Entry, data: bytes) -> None:
    if entry.read is None:
        sink.write(_header(entry.path + "/", entry.mode or DIRECTORY_MODE, 0, tarfile.DIRTYPE))
        return
    mode = entry.mode or (EXECUTABLE_MODE if entry.executable else FILE_MODE)
    sink.write(_header(entry.path, mode, len(data), tarfile.REGTYPE))
    sink.write(data)
    sink.write(bytes(-len(data) % _BLOCK))


def _header(path: str, mode: int, size: int, kind: bytes) -> bytes:
    """A GNU tar header, as tarfile writes it but ten times as fast where the path fits into its field."""
    name = path.encode("utf-8", "surrogateescape")
    if len(name) > tarfile.LENGTH_NAME:
        info = tarfile.TarInfo(path.rstrip("/"))
        info.mode, info.size, info.type = mode, size, kind
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    numbers = b"%07o\0%s%s%011o\0%011o\0" % (mode, _NOBODY, _NOBODY, size, 0)
    checksum = sum(name) + sum(numbers) + sum(kind) + _FIXED_SUM
    return b"%s%s%06o\0 %s%s" % (name.ljust(tarfile.LENGTH_NAME, b"\0"), numbers, checksum, kind, _REST)


class _GzipSink:
    """A gzip stream with a fixed header, made of chunks, that hashes what it puts out."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._crc = 0
        self._length = 0
        self._batch: list[bytes] = []
        self._batched = 0
        self.chunks: list[Chunk] = []
        self.sha256 = hashlib.sha256()
        self.size = 0
        self._emit(_GZIP_HEADER)
        self._begin()

    def _begin(self) -> None:
        """A chunk of its own: nothing that was compressed before has a say in it."""
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_DEFAULT_STRATEGY)
        self._offset, self._chunk_crc, self._chunk_length = self.size, 0, 0

    def write(self, data: bytes) -> None:
        self._batch.append(data)
        self._batched += len(data)
        if self._batched >= _BATCH:
            self._compress()

    def _compress(self) -> None:
        data = b"".join(self._batch)
        self._batch.clear()
        self._batched = 0
        self._chunk_crc = zlib.crc32(data, self._chunk_crc)
        self._chunk_length += len(data)
        self._emit(self._deflate.compress(data))

    def end_chunk(self, key: str, content: int, known: Known | None) -> Chunk:
        """Whole bytes of blocks that are none the last one's."""
        self._compress()
        self._emit(self._deflate.flush(zlib.Z_FULL_FLUSH))
        made = Chunk(key, self._offset, self.size - self._offset, self._chunk_crc, self._chunk_length, content)
        return self._add(known.made(made) if known is not None else made)

    def copy(self, chunk: Chunk, file: BinaryIO) -> Chunk:
        """A chunk of an earlier archive, between two chunks."""
        for piece in copied(chunk, file):
            self._emit(piece)
        return self._add(msgspec.structs.replace(chunk, offset=self._offset))

    def _add(self, chunk: Chunk) -> Chunk:
        self._crc = combined_crc(self._crc, chunk.crc, chunk.length)
        self._length += chunk.length
        self.chunks.append(chunk)
        self._begin()
        return chunk

    def finish(self) -> None:
        """The end of the tar, which no archive shares, and of the stream."""
        self.write(bytes(2 * _BLOCK))
        self._compress()
        self._emit(self._deflate.flush())
        self._crc = combined_crc(self._crc, self._chunk_crc, self._chunk_length)
        self._length += self._chunk_length
        self._emit(struct.pack("<LL", self._crc, self._length & 0xFFFFFFFF))
        self._out.flush()

    def _emit(self, data: bytes) -> None:
        if data:
            self._out.write(data)
            self.sha256.update(data)
            self.size += len(data)
