"""Log lines about lasting trouble: at once, then now and then, and again at once after it was over."""

from __future__ import annotations

import logging
from time import monotonic

EVERY = 60.0
"""Seconds between two lines about the same trouble."""


class Reminder:
    """The trouble of one thing that is tried again and again."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: dict[str, float] = {}

    def warn(self, message: str) -> None:
        """Log `message` unless it was logged a moment ago."""
        now = monotonic()
        if now - self._told.get(message, float("-inf")) >= EVERY:
            self._told[message] = now
            self._log.warning("%s", message)

    def over(self) -> None:
        """It works: the next trouble is news."""
        self._told.clear()
