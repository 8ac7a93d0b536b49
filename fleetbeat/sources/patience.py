"""How long a server asks to be left alone. Owns the reading of `Retry-After`, whichever protocol it came by."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from time import time

LONGEST = 3600.0
"""Seconds; a server that asks for more is asked again all the same."""
SHORTEST = 1.0


def later(value: str | None) -> float | None:
    """Seconds from now, for the value of a `Retry-After` header (seconds or a date); None without one to be read."""
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        seconds = float(text[:12])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, SHORTEST), LONGEST)
