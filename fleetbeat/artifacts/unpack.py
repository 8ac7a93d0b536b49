"""Reading an archive that is one of ours, to make another of its content.

Owns the way back from a tar.gz to entries, under the limits that hold for making one. The content is unfolded into a
file without a name, so that nothing is left behind and no path of the archive is ever created on a disk.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from fleetbeat.artifacts.archive import Entry, Limits
from fleetbeat.errors import ArchiveInvalid

_CHUNK = 1024 * 1024
_OVERHEAD = 3 * tarfile.BLOCKSIZE
"""Header, long name and padding of one entry."""


@contextmanager
def unpacked(file: Path, folder: Path, limits: Limits | None = None) -> Iterator[list[Entry]]:
    """The files and directories of the tar.gz `file` in its order; they can be read until the block ends.

    `folder` is where the content lies meanwhile. Raises ArchiveInvalid on damage and on anything beyond the limits;
    links and other special members are left out.
    """
    limits = limits or Limits()
    with tempfile.TemporaryFile(dir=folder) as plain:
        try:
            _unfold(file, plain, limits)
            plain.seek(0)
            with tarfile.open(fileobj=plain, mode="r:") as tar:
                entries = list(_entries(tar, plain, limits))
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ArchiveInvalid(f"the archive is damaged: {error}") from error
        yield entries


def _unfold(file: Path, plain: IO[bytes], limits: Limits) -> None:
    most = limits.total_bytes + limits.entries * _OVERHEAD
    with gzip.open(file, "rb") as packed:
        while chunk := packed.read(_CHUNK):
            most -= len(chunk)
            if most < 0:
                raise ArchiveInvalid(f"the archive unfolds to more than {limits.total_bytes} bytes")
            plain.write(chunk)


def _entries(tar: tarfile.TarFile, plain: IO[bytes], limits: Limits) -> Iterator[Entry]:
    for number, member in enumerate(tar):
        if number >= limits.entries:
            raise ArchiveInvalid(f"the archive has more than {limits.entries} files and directories")
        path = member.name.removeprefix("./").rstrip("/")
        if path in ("", "."):
            continue
        if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
            raise ArchiveInvalid(f"the archive has the unsafe path {member.name!r}")
        if member.isdir():
            yield Entry(path)
        elif member.isreg():
            read = partial(_read, plain, member.offset_data, member.size, limits)
            yield Entry(path, read, bool(member.mode & 0o111))


def _read(plain: IO[bytes], offset: int, size: int, limits: Limits) -> bytes:
    if size > limits.file_bytes:
        raise ArchiveInvalid(f"a file of the archive has {size} bytes, more than the {limits.file_bytes} allowed")
    data = os.pread(plain.fileno(), size, offset)
    if len(data) != size:
        raise ArchiveInvalid("the archive ends within a file")
    return data
