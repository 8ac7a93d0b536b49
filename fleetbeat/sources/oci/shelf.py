"""Finished archives of layers, for other sources that follow the same layer of the same repository by equal accounts.

Owns a folder of the worker's cache and its size. Names hold everything that decides the content *and* who may have it,
so that nobody meets what his own account did not open. Files are replaced as a whole, for processes share the folder,
and used again only when their bytes still have the digest that was written down.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

from fleetbeat.artifacts.archive import MIB, Archive


class _Label(msgspec.Struct, frozen=True):
    digest: str
    size: int
    entries: int


_decoder = msgspec.json.Decoder(_Label)


class LayerShelf:
    """The archives that were made last."""

    def __init__(self, folder: Path, *, kept: int = 16, kept_bytes: int = 256 * MIB) -> None:
        self._folder = folder
        self._kept = kept
        self._bytes = kept_bytes

    def find(self, name: str) -> Archive | None:
        """The archive, to be closed by the caller; None when it must be made."""
        try:
            label = _decoder.decode((self._folder / f"{name}.json").read_bytes())
            file = (self._folder / f"{name}.tar.gz").open("rb")
        except (OSError, msgspec.DecodeError):
            return None
        if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != label.digest:
            file.close()
            return None
        file.seek(0)
        return Archive(file, label.digest, label.size, label.entries)

    def keep(self, name: str, archive: Archive) -> None:
        """Copy an archive here and rewind it; a full disk only means that it is made again."""
        if archive.size <= self._bytes:
            with suppress(OSError):
                self._folder.mkdir(exist_ok=True, mode=0o700)
                self._make_room(archive.size)
                self._write(f"{name}.tar.gz", archive)
                self._write(f"{name}.json", msgspec.json.encode(_Label(archive.digest, archive.size, archive.entries)))
        archive.file.seek(0)

    def _write(self, name: str, content: Archive | bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".", delete=False) as out:
            try:
                if isinstance(content, bytes):
                    out.write(content)
                else:
                    content.file.seek(0)
                    shutil.copyfileobj(content.file, out)
                out.flush()
                Path(out.name).replace(self._folder / name)
            except BaseException:
                Path(out.name).unlink(missing_ok=True)
                raise

    def _make_room(self, size: int) -> None:
        """Remove the oldest until there is room; another process may have removed them already."""
        files = [(file.stat(), file) for file in self._folder.glob("*.tar.gz")]
        files.sort(key=lambda entry: entry[0].st_mtime)
        total = sum(stat.st_size for stat, _ in files)
        while files and (len(files) >= self._kept or total + size > self._bytes):
            stat, file = files.pop(0)
            total -= stat.st_size
            file.unlink(missing_ok=True)
            file.with_name(file.name.replace(".tar.gz", ".json")).unlink(missing_ok=True)
