"""Deterministic archives: the same entries give the same bytes, in any process, on any machine.

Owns the byte format of an artifact (tar.gz as Flux's consumers expect it: files and directories only, uid and gid 0,
no owner names, zero mtimes, modes 0600, 0700 and 0750) and the limits that a hostile source meets. It knows neither
Git nor S3: entries come from an iterator, bytes go to a file object while they are being hashed.

What fixes the bytes: the order of the entries (the caller's, who sorts), GNU tar headers, a gzip header with neither
name nor time, and deflate at level 6 with 32 KiB window and memory level 8. Deflate itself is not canonical: zlib and
zlib-ng (which some distributions and Python builds for Windows and Fedora link instead) find different matches at
the same level. Workers of one image therefore agree; workers with different zlib builds make archives of equal content
and different digest. That costs a second upload, never a wrong result: the revision stays equal, and consumers'
renders are keyed by what they read, not by the archive.
"""

from __future__ import annotations

import hashlib
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO

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


@dataclass(frozen=True)
class Archive:
    """A finished archive: `file` is open at its start and belongs to the caller."""

    file: BinaryIO
    digest: str
    """`sha256:<hex>` of the compressed bytes."""
    size: int
    """Compressed size in bytes."""
    entries: int

    def close(self) -> None:
        self.file.close()


def write_archive(entries: Iterable[Entry], out: BinaryIO, limits: Limits | None = None) -> Archive:
    """Write `entries` as tar.gz to the empty, seekable `out` and rewind it; raises ArchiveInvalid on unsafe input."""
    limits = limits or Limits()
    sink = _GzipSink(out)
    seen: set[str] = set()
    total = 0
    for entry in entries:
        _check_path(entry.path, seen, limits)
        data = b"" if entry.read is None else entry.read()
        total += len(data)
        _check_sizes(entry.path, len(data), total, limits)
        _write_entry(sink, entry, data)
    sink.write(bytes(2 * _BLOCK))
    sink.finish()
    out.seek(0)
    return Archive(file=out, digest=f"sha256:{sink.sha256.hexdigest()}", size=sink.size, entries=len(seen))


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
        sink.write(_header(entry.path + "/", DIRECTORY_MODE, 0, tarfile.DIRTYPE))
        return
    mode = EXECUTABLE_MODE if entry.executable else FILE_MODE
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
    """A gzip stream with a fixed header that hashes what it puts out."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_DEFAULT_STRATEGY)
        self._crc = 0
        self._length = 0
        self._batch: list[bytes] = []
        self._batched = 0
        self.sha256 = hashlib.sha256()
        self.size = 0
        self._emit(_GZIP_HEADER)

    def write(self, data: bytes) -> None:
        self._batch.append(data)
        self._batched += len(data)
        if self._batched >= _BATCH:
            self._compress()

    def _compress(self) -> None:
        data = b"".join(self._batch)
        self._batch.clear()
        self._batched = 0
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        self._emit(self._deflate.compress(data))

    def finish(self) -> None:
        self._compress()
        self._emit(self._deflate.flush())
        self._emit(struct.pack("<LL", self._crc, self._length & 0xFFFFFFFF))
        self._out.flush()

    def _emit(self, data: bytes) -> None:
        if data:
            self._out.write(data)
            self.sha256.update(data)
            self.size += len(data)
