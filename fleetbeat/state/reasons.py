"""Reasons of a poke that the verbs know: refs with one kind of these alone may share a look with others (claim.lua)."""

from __future__ import annotations

REQUESTED = "requested"
"""Asked to run by its annotation."""

HEALTH = "health"
"""A look at the health of what was applied, shared by all that wait for some."""
HEALTH_ALONE = "health for itself"
"""The same by a run of its own, because it is not only to be looked at but to be told that it fails."""


def health_reason(message: str) -> str:
    """The health of an awaited object may have moved."""
    return f"{HEALTH}: {message}"


def is_health(why: str) -> bool:
    """Whether nothing but health is to be looked at: joined reasons, none at all when the time has come for a look."""
    return all(reason.startswith((f"{HEALTH}: ", HEALTH_ALONE)) for reason in why.split(", ") if reason)


def artifact_reason(source: str) -> str:
    """`source` (a ref) has a new artifact."""
    return f"artifact {source}"
