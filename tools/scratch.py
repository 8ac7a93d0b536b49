"""Working folders of the bench that are gone afterwards, even when their owner was killed.

The owner holds a lock on a file in its folder. Whoever makes the next folder removes those whose lock is free.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

_PREFIX = "fleetbeat-bench-"


class Scratch:
    """A temporary folder with a short path (sockets live in it), removed by `remove` or by the next Scratch."""

    def __init__(self) -> None:
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        fresh = self.path / "lock.new"
        self._lock: IO[str] = fresh.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        fresh.rename(self.path / "lock")  # others see it locked or not at all

    def remove(self) -> None:
        """Delete the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            with (folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, just being made, or another user's
