"""What a registry said a moment ago, for the other sources of this worker that ask the same with equal accounts.

Owns a folder of the worker's cache. A look serves whoever was asked to look before it began, so that nobody is told
older news than he was woken for. Names hold everything that decides the answer *and* who may have it. One process looks
at a time, and those who wait for it find what it found; who fails leaves nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from fleetbeat.errors import OCIPullFailed
from fleetbeat.sources import turn
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.manifest import Descriptor, Manifest, read_manifest
from fleetbeat.sources.oci.pick import Picked
from fleetbeat.sources.oci.reference import verify

LASTS = 60_000
"""Milliseconds for which a look serves others."""
_KEPT = 256


class _Look(msgspec.Struct, frozen=True):
    began: int
    tag: str
    descriptor: Descriptor
    digest: str = ""
    media_type: str = ""
    manifest: bytes = b""
    """The manifest of layers that the descriptor led to, as the registry sent it; empty until somebody needed it."""


_decoder = msgspec.json.Decoder(_Look)


class Look:
    """The last look at one reference by one account; open while this process alone may look."""

    def __init__(self, file: Path, asked: int, now: int) -> None:
        self._file = file
        self._now = now
        self._found = self._read(asked)

    def _read(self, asked: int) -> _Look | None:
        with suppress(OSError, msgspec.MsgspecError):
            found = _decoder.decode(self._file.read_bytes())
            if asked < found.began and abs(found.began - self._now) < LASTS:
                return found
        return None

    @property
    def picked(self) -> Picked | None:
        """What was found since then; None when somebody has to look."""
        return None if self._found is None else Picked(self._found.descriptor, self._found.tag)

    @property
    def manifest(self) -> Manifest | None:
        """What was read since then, verified again; None when it was not."""
        found = self._found
        if found is None or not found.manifest:
            return None
        with suppress(OCIPullFailed):
            verify(found.manifest, found.digest, "a manifest of the cache")
            return read_manifest(found.manifest, found.digest, found.media_type, "a manifest of the cache")
        return None

    def keep(self, picked: Picked, manifest: Manifest | None = None) -> None:
        """What a look that began after `now` found; a full disk only means that the next one looks for himself."""
        more = (manifest.digest, manifest.media_type, manifest.raw) if manifest else ()
        began = self._now if self._found is None else self._found.began
        self._found = _Look(began, picked.tag, picked.descriptor, *more)
        with suppress(OSError):
            _make_room(self._file.parent)
            temporary = self._file.with_suffix(".new")
            temporary.write_bytes(msgspec.json.encode(self._found))
            temporary.replace(self._file)


@contextmanager
def opened(folder: Path, name: str, asked: int, now: int, deadline: Deadline) -> Iterator[Look]:
    """The last look of that name, for who was asked to look at `asked` and it is `now` (ms of one clock).

    Waits while another process looks, up to `deadline`. `name` is a digest as `LayerShelf.name` makes it.
    """
    folder.mkdir(exist_ok=True, mode=0o700)
    with (folder / f"{name}.lock").open("w") as lock:
        turn.take(lock, deadline)
        yield Look(folder / f"{name}.json", asked, now)


def _make_room(folder: Path) -> None:
    """Old ones go when there are many; a lock that goes while it is held only lets another process look as well."""
    files = list(folder.iterdir())
    if len(files) < _KEPT:
        return
    old = time.time() - 10 * LASTS / 1000
    for file in files:
        with suppress(OSError):
            if file.stat().st_mtime < old:
                file.unlink()
