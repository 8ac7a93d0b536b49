"""By when a run's talk with its upstream must be over. Owns the clock, and nothing of what is talked about."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fleetbeat.errors import GitOperationFailed, Retryable


@dataclass(frozen=True)
class Deadline:
    """The moment by which a run must be over."""

    at: float
    """`time.monotonic()` seconds."""
    seconds: float
    """What was allowed in all, for the message."""
    error: type[Retryable] = GitOperationFailed
    """What is raised when it has passed."""

    @classmethod
    def after(cls, seconds: float, error: type[Retryable] = GitOperationFailed) -> Deadline:
        """A deadline that many seconds from now."""
        return cls(time.monotonic() + seconds, seconds, error)

    def left(self) -> float:
        """Seconds that remain, more than 0; raises `error` when none do."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise self.error(f"not finished within spec.timeout ({self.seconds:g}s)")
        return left
