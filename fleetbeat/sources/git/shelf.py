"""Finished archives of one mirror, for other sources that follow the same commit under the same rules.

Owns a folder inside the mirror, so an archive is only met by who may fetch it, under the mirror's lock, and is counted
and evicted with it. A file is used again only when its bytes still have the digest that was written down.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from fleetbeat.artifacts.archive import Archive
from fleetbeat.artifacts.chunks import Chunk

KEPT = 4


class Label(msgspec.Struct, frozen=True):
    """What is known of an archive: its digest and size, the subject of its commit, and what its author should know."""

    digest: str
    size: int
    entries: int
    subject: str
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    """What a later archive may copy from it."""
    links: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Label)


class Shelf:
    """The archives that were made last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def name(*facts: object) -> str:
        """What an archive made from these facts, and no others, is kept as."""
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:40]

    def find(self, name: str) -> tuple[Archive, Label] | None:
        """The archive, to be closed by the caller, and what is known of it; None when it must be made."""
        try:
            label = _decoder.decode((self._folder / f"{name}.json").read_bytes())
            file = (self._folder / f"{name}.tar.gz").open("rb")
        except (OSError, msgspec.MsgspecError):
            return None
        if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != label.digest:
            file.close()
            return None
        file.seek(0)
        return Archive(file, label.digest, label.size, label.entries, label.chunks), label

    def keep(self, name: str, archive: Archive, label: Label) -> None:
        """Copy an archive here and rewind it; a full disk only means that it is made again."""
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            self._make_room()
            with (self._folder / f"{name}.tar.gz").open("wb") as out:
                shutil.copyfileobj(archive.file, out)
            (self._folder / f"{name}.json").write_bytes(msgspec.json.encode(label))
        archive.file.seek(0)

    @contextmanager
    def chunks(self) -> Iterator[dict[str, tuple[Chunk, BinaryIO]]]:
        """The chunks of all archives here by their keys, each with its archive, open until the block ends."""
        with ExitStack() as stack:
            found: dict[str, tuple[Chunk, BinaryIO]] = {}
            for label in self._folder.glob("*.json"):
                kept = self.find(label.stem)
                if kept is not None:
                    file = stack.enter_context(kept[0].file)
                    found.update((chunk.key, (chunk, file)) for chunk in kept[1].chunks)
            yield found

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make_room(self) -> None:
        found = sorted(self._folder.glob("*.tar.gz"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in found[KEPT - 1 :]:
            file.unlink()
            file.with_name(file.name.replace(".tar.gz", ".json")).unlink(missing_ok=True)
