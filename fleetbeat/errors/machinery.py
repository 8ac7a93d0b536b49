"""What goes wrong between our own parts, and what the command line says of itself."""

from __future__ import annotations

from fleetbeat.errors.roots import Retryable, Terminal


class Rebuilding(Retryable):
    """Redis was wiped, restarted or restored; the registry is being rebuilt from the hub."""

    reason = "Progressing"


class StateUnavailable(Retryable, ConnectionError):
    """Redis cannot be reached."""

    reason = "Progressing"


class Unexpected(Retryable):
    """The worker failed in a way that nobody foresaw, see its log."""


class LostLease(Retryable):
    """Another run took over; this one writes nothing more."""

    reason = "Progressing"


class CommandFailed(Terminal):
    """The command could not do what was asked."""
