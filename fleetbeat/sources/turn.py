"""One process at a time on this machine, for whoever works on a folder of the cache.

A lock is a file; the kernel drops it with the process that held it.
"""

from __future__ import annotations

import fcntl
import time
from typing import IO

from fleetbeat.sources.deadline import Deadline

_POLL_SECONDS = 0.02


def take(lock: IO[str], deadline: Deadline) -> None:
    """Hold an open file's lock until it is closed; waits for it up to `deadline`, whose error is raised then."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(min(_POLL_SECONDS, deadline.left()))
        else:
            return
