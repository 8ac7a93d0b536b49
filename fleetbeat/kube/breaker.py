"""A circuit breaker: a cluster that does not answer costs its callers nothing but an exception.

Counts consecutive failures to get any answer. Owns no I/O and knows nothing of HTTP.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from time import monotonic

THRESHOLD = 3
"""Consecutive failures that open the breaker."""
SHORTEST, LONGEST = 2.0, 60.0
"""Seconds that it stays open; doubled at every failed probe."""
CHEAP = 5.0
"""It stays open no longer than this when a probe takes next to nothing: a refused connection may be tried often."""
PROBE_SHARE = 12.0
"""It stays open so many times as long as a probe takes."""


@dataclass(eq=False)
class Breaker:
    """Closed: calls pass. Open: calls are refused until a deadline, then one probe passes at a time. Thread-safe."""

    failures: int = 0
    longest: float = LONGEST
    """Seconds that it stays open at most."""
    _open_for: float = SHORTEST
    _until: float = 0.0
    _last: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refuses(self) -> tuple[str, float] | None:
        """The last failure and the seconds until a probe when calls are refused now, else None (and go ahead)."""
        if self.failures < THRESHOLD:
            return None
        with self._lock:
            left = self._until - monotonic()
            if left > 0:
                return self._last, left
            self._until = monotonic() + self._open_for  # this caller is the probe; others are refused meanwhile
            return None

    def failed(self, message: str, took: float = LONGEST) -> None:
        """A call got no answer within `took` seconds."""
        with self._lock:
            self.failures += 1
            self._last = message
            if self.failures > THRESHOLD:
                self._open_for = min(self._open_for * 2, self.longest, max(CHEAP, PROBE_SHARE * took))
            if self.failures >= THRESHOLD:
                self._until = monotonic() + self._open_for

    def answered(self) -> None:
        """A call got any answer at all."""
        if self.failures:
            with self._lock:
                self.failures = 0
                self._open_for = SHORTEST
                self._until = 0.0
