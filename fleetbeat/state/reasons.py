"""Reasons of a poke that the verbs know: refs with one of these alone may share a look with others (claim.lua)."""

from __future__ import annotations

REQUESTED = "requested"
"""Asked to run by its annotation."""


def artifact_reason(source: str) -> str:
    """`source` (a ref) has a new artifact."""
    return f"artifact {source}"
