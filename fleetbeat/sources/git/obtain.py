"""Getting one commit into a mirror, also from a server that hands out nothing but whole histories.

Owns the second way, and only that: what a mirror has and how it is filled is the mirror's.
"""

from __future__ import annotations

from collections.abc import Sequence

from fleetbeat.errors import GitOperationFailed
from fleetbeat.sources.git.mirror import Mirror
from fleetbeat.sources.git.refs import Candidate
from fleetbeat.sources.git.remote import Refused, Remote

EVERYWHERE = ("refs/heads/", "refs/tags/")
"""Where a commit may be found of which no more is known."""


def obtain_fixed(mirror: Mirror, server: Remote, candidate: Candidate, prefixes: Sequence[str] = EVERYWHERE) -> None:
    """Have the tree of a commit that no reference needs to point to; its history may lie below `prefixes`."""
    try:
        mirror.ensure(server, candidate)
    except Refused:
        mirror.ensure_by_history(server, candidate, _tips(server, prefixes))


def _tips(server: Remote, prefixes: Sequence[str]) -> list[str]:
    found = server.refs(prefixes)
    tips = sorted({value for name, value in found.items() if not name.endswith("^{}")})
    if not tips:
        raise GitOperationFailed(f"{server.url}: the repository has nothing at {' or '.join(prefixes)}")
    return tips
