"""How much of a worker one Git repository may use. Owns the numbers; whoever meets one raises ArchiveInvalid."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetbeat.artifacts.archive import MIB, Limits
from fleetbeat.sources.deadline import Deadline

__all__ = ["Deadline", "GitLimits"]


@dataclass(frozen=True)
class GitLimits:
    """Bounds on what a server may send and on what it may unfold to."""

    refs_bytes: int = 64 * MIB
    """The list of references."""
    pack_bytes: int = 1024 * MIB
    """One fetch, as sent."""
    objects: int = 1_000_000
    """Objects in one fetch."""
    object_bytes: int = 256 * MIB
    """One object, unfolded."""
    delta_bytes: int = 1024 * MIB
    """All objects that were sent as deltas, unfolded: bounds the memory that resolving them takes."""
    unfolded_bytes: int = 4096 * MIB
    """All objects of one fetch, unfolded: bounds the time."""
    mirror_packs: int = 24
    """Fetches that a mirror collects before it is fetched anew."""
    archive: Limits = field(default_factory=Limits)
