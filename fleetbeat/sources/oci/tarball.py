"""From a layer's tar to the entries of an archive, without a file of it ever being written to the disk by its name.

Owns what a tar may look like; a hostile one fails here, by name. Regular files and directories are taken unless an
ignore rule excludes them, hard links become the file that they link to, symlinks are dropped. What a tar unfolds to is
capped before it is read, and so are its headers, which tarfile would read into memory whole.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, BinaryIO, cast

from fleetbeat.artifacts.archive import MIB, Entry, Limits
from fleetbeat.errors import OCILayerFailed
from fleetbeat.sources import ignore
from fleetbeat.sources.deadline import Deadline

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_CHUNK = 256 * 1024
_HEADER_BYTES = 256 * 1024
_GLOBAL_HEADERS = 1000
_IGNORE_FILE_BYTES = 1 * MIB
_PATTERNS = 5000
_DAMAGE = (tarfile.TarError, ValueError, OverflowError, EOFError, KeyError, IndexError, RecursionError)


@dataclass(frozen=True, slots=True)
class File:
    """Where a file's bytes lie in the unfolded tar."""

    offset: int
    size: int
    executable: bool


def unfold(layer: BinaryIO, out: BinaryIO, limits: Limits, deadline: Deadline) -> None:
    """Write the tar of a gzipped (or plain) `layer` to `out`; raises OCILayerFailed for anything else."""
    layer.seek(0)
    head = layer.read(4)
    layer.seek(0)
    if head.startswith(_ZSTD):
        raise OCILayerFailed("the layer is compressed with zstd, which is not supported; push it as tar+gzip")
    room = limits.total_bytes + 1024 * limits.entries
    for piece in _gunzip(layer, deadline) if head.startswith(_GZIP) else iter(partial(layer.read, _CHUNK), b""):
        deadline.left()
        room -= len(piece)
        if room < 0:
            raise OCILayerFailed(f"the layer unfolds to more than the {limits.total_bytes} bytes that are allowed")
        out.write(piece)
    out.flush()


def _gunzip(layer: BinaryIO, deadline: Deadline) -> Iterator[bytes]:
    """All members of a gzip file, a bounded piece at a time."""
    try:
        with gzip.GzipFile(fileobj=_Timed(layer, deadline)) as file:
            while piece := file.read(_CHUNK):
                yield piece
    except (OSError, EOFError, zlib.error) as error:
        raise OCILayerFailed(f"the layer is not the gzip file that it begins as: {error}") from error


class Tarball:
    """The tar of a layer, read under limits; `file` is seekable, stays open and belongs to the caller."""

    def __init__(self, file: BinaryIO, limits: Limits, deadline: Deadline) -> None:
        """Raises OCILayerFailed when it is no tar or an unsafe one."""
        self._file = file
        self._limits = limits
        self._deadline = deadline
        self._found: dict[str, File | None] = {}
        """Path → file, or None for a directory."""
        try:
            self._index()
        except _DAMAGE as error:
            raise OCILayerFailed(f"the layer is not a tar file that can be read: {error}") from error

    def entries(self, custom: str | None) -> Iterator[Entry]:
        """What belongs into the archive, sorted by path; `custom` is spec.ignore."""
        paths = sorted(f"{path}/" if file is None else path for path, file in self._found.items())
        rules = self._rules(paths, custom)
        for path in paths:
            self._deadline.left()
            if rules.excludes(path):
                continue
            file = self._found[path.rstrip("/")]
            yield Entry(path.rstrip("/")) if file is None else Entry(path, partial(self._read, file), file.executable)

    def _rules(self, paths: list[str], custom: str | None) -> ignore.Rules:
        """`.sourceignore` of each directory that the ones above do not exclude, then spec.ignore."""
        patterns: list[ignore.Pattern] = []
        for path in paths:
            domain, slash, name = path.rpartition("/")
            file = self._found.get(path)
            if name != ignore.FILE_NAME or file is None or ignore.Rules(patterns).excludes(domain + slash):
                continue
            if file.size > _IGNORE_FILE_BYTES:
                raise OCILayerFailed(f"{path} is larger than {_IGNORE_FILE_BYTES} bytes")
            patterns += ignore.parse(self._read(file).decode("utf-8", "surrogateescape"), domain + slash)
            if len(patterns) > _PATTERNS:
                raise OCILayerFailed(f"{path}: the layer has more than {_PATTERNS} patterns to ignore files")
        return ignore.rules([*patterns, *ignore.parse(custom or "")])

    def _read(self, file: File) -> bytes:
        self._deadline.left()
        self._file.seek(file.offset)
        data = self._file.read(file.size)
        if len(data) != file.size:
            raise OCILayerFailed("the layer's tar ends in the middle of a file")
        return data

    def _index(self) -> None:
        self._file.seek(0)
        guarded = cast("IO[bytes]", _Guarded(self._file))
        with tarfile.TarFile(fileobj=guarded, encoding="utf-8", errors="surrogateescape") as tar:
            while (member := tar.next()) is not None:
                self._deadline.left()
                cast(Any, tar).members.clear()  # tarfile keeps them all otherwise
                self._take(member)
                if len(self._found) > self._limits.entries or len(tar.pax_headers) > _GLOBAL_HEADERS:
                    raise OCILayerFailed(f"the layer has more than {self._limits.entries} files and directories")
            self._file.seek(tar.offset)
        if self._file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise OCILayerFailed("the layer's tar is damaged in its middle")

    def _take(self, member: tarfile.TarInfo) -> None:
        path = _safe(member.name)
        if member.size < 0:
            raise OCILayerFailed(f"the layer's tar has {path!r} with a negative size")
        if member.isdir():
            self._add_directories(path, path)
        elif member.issym():
            return
        elif member.islnk():
            self._add(path, self._target(member))
        elif member.isreg() and not member.issparse():
            if member.size > self._limits.file_bytes:
                raise OCILayerFailed(f"{path} has {member.size} bytes, more than the {self._limits.file_bytes} allowed")
            self._add(path, File(member.offset_data, member.size, bool(member.mode & 0o111)))
        else:
            raise OCILayerFailed(f"the layer's tar has {path!r}, which is neither a file, a directory nor a link")

    def _target(self, member: tarfile.TarInfo) -> File:
        file = self._found.get(_safe(member.linkname))
        if file is None:
            raise OCILayerFailed(f"the layer's tar has the hard link {member.name!r} to no file that came before it")
        return file

    def _add(self, path: str, file: File) -> None:
        if not path or self._found.get(path, file) is None:
            raise OCILayerFailed(f"the layer's tar has {path!r} as a file and as a directory")
        self._add_directories(path.rpartition("/")[0], path)
        self._found[path] = file

    def _add_directories(self, folder: str, path: str) -> None:
        """A directory and those above it, whether the tar names them or not."""
        while folder:
            if self._found.setdefault(folder, None) is not None:
                raise OCILayerFailed(f"the layer's tar has {folder!r} as a file and, for {path!r}, as a directory")
            folder = folder.rpartition("/")[0]


def _safe(name: str) -> str:
    """A path that stays in its root, without `./` and doubled slashes; empty for the root itself."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise OCILayerFailed(f"the layer's tar has the unsafe path {name[:200]!r}")
    return "/".join(parts)


class _Timed(io.RawIOBase):
    """The file as gzip may see it: it looks at the clock before each read."""

    def __init__(self, file: BinaryIO, deadline: Deadline) -> None:
        self._file = file
        self._deadline = deadline

    def read(self, size: int = -1, /) -> bytes:
        self._deadline.left()
        return self._file.read(size)


class _Guarded(io.RawIOBase):
    """The file as tarfile may see it: never more than a header in one read, and never backwards."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._farthest = 0

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _HEADER_BYTES:
            raise OCILayerFailed(f"the layer's tar has a header of more than {_HEADER_BYTES} bytes")
        return self._file.read(size)

    def seek(self, position: int, whence: int = 0, /) -> int:
        if position < self._farthest:
            raise OCILayerFailed("the layer's tar has a file of negative size")
        self._farthest = position
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
