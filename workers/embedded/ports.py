"""TCP ports for servers of ours that must keep their port over restarts.

Ports lie below the kernel's ephemeral range, so that no outgoing connection takes the port of a stopped server (or
connects to itself while it polls that port). A lock file per port, held until this process ends, keeps parallel
processes of one machine apart.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_FIRST, _LAST = 15000, 32000
_held: dict[int, int] = {}


def reserve() -> int:
    """A free port on 127.0.0.1, ours until this process ends."""
    directory = Path(tempfile.gettempdir()) / f"fleetbeat-ports-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    for port in random.sample(range(_FIRST, _LAST), 200):
        if port not in _held and _lock(directory, port) and _bindable(port):
            return port
    raise RuntimeError(f"no free port on 127.0.0.1 between {_FIRST} and {_LAST}")


def _lock(directory: Path, port: int) -> bool:
    handle = os.open(directory / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    _held[port] = handle
    return True


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
