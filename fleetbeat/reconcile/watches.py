"""Whether the observer's watches are live, as runs of this process ask it: once a second for all clusters."""

from __future__ import annotations

import threading
from time import monotonic

from fleetbeat.state import State

LIVE = 10.0
"""Seconds since their last sign of life for which watches count as live: two such signs may come late."""
_ASK_EVERY = 1.0


class Watches:
    """The last signs of life. Thread-safe."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._ages: dict[str, float] = {}

    def live(self, cluster: str) -> bool:
        """True while all that runs left on the cluster is watched."""
        with self._lock:
            now = monotonic()
            if now - self._asked > _ASK_EVERY:
                self._ages, self._asked = self._state.observed(), now
            age = self._ages.get(cluster)
            return age is not None and age + now - self._asked < LIVE
