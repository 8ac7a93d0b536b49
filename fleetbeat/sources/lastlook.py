"""What an upstream said a moment ago, for the other sources of this worker that ask the same with equal accounts.

Owns a folder of the worker's cache. A look serves whoever was asked to look before it began, so that nobody is told
older news than he was woken for. Names hold everything that decides the answer *and* who may have it. One process looks
at a time, and those who wait for it find what it found; who fails leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fleetbeat.sources import turn
from fleetbeat.sources.deadline import Deadline

_KEPT = 256
_OLD = 600.0
"""Seconds after which a look makes room for others."""


class LastLook:
    """The last look of one name; open while this process alone may look."""

    def __init__(self, file: Path, asked: int, now: int, lasts: int) -> None:
        self._file = file
        self._began = now
        self.found: bytes | None = None
        """What was found since then; None when somebody has to look."""
        self._read(asked, lasts)

    def _read(self, asked: int, lasts: int) -> None:
        with suppress(OSError, ValueError):
            head, _, found = self._file.read_bytes().partition(b"\n")
            began = int(head)
            if asked < began and abs(began - self._began) < lasts:
                self._began, self.found = began, found

    def keep(self, found: bytes) -> None:
        """What a look that began now found, or more of what was there; a full disk only means that the next one looks
        for himself."""
        self.found = found
        with suppress(OSError):
            _make_room(self._file.parent)
            temporary = self._file.with_suffix(".new")
            temporary.write_bytes(b"%d\n" % self._began + found)
            temporary.replace(self._file)


def name_of(*facts: object) -> str:
    """The name of what is kept by these facts and no others: looks here, archives on the shelf of layers."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()


@contextmanager
def opened(folder: Path, name: str, asked: int, now: int, lasts: int, deadline: Deadline) -> Iterator[LastLook]:
    """The last look of that name, for who was asked to look at `asked` and it is `now` (ms of one clock).

    It serves others for `lasts` ms. Waits while another process looks, up to `deadline`. `name` is one of `name_of`.
    """
    folder.mkdir(exist_ok=True, mode=0o700)
    with (folder / f"{name}.lock").open("w") as lock:
        turn.take(lock, deadline)
        yield LastLook(folder / f"{name}.look", asked, now, lasts)


def _make_room(folder: Path) -> None:
    """Old ones go when there are many; a lock that goes while it is held only lets another process look as well."""
    files = list(folder.iterdir())
    if len(files) < _KEPT:
        return
    old = time.time() - _OLD
    for file in files:
        with suppress(OSError):
            if file.stat().st_mtime < old:
                file.unlink()
