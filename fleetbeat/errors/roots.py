"""The two roots of all errors; their meaning is told by the package."""

from __future__ import annotations

from typing import ClassVar


class FleetbeatError(Exception):
    """Something went wrong."""

    reason: ClassVar[str] = "Failed"

    def __init__(self, message: str | None = None, *, retry_after: float | None = None, asked_by: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.retry_after = retry_after
        """Seconds until the next try makes sense, where the other side said so; None leaves it to the interval."""
        self.asked_by = asked_by
        """The upstream host that asked everybody to stay away for `retry_after`; empty when none did."""
        super().__init__(self.message)


class Terminal(FleetbeatError):
    """A person must change something before another try can succeed."""


class Retryable(FleetbeatError):
    """Another try may succeed."""
