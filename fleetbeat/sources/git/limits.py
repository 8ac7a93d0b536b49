"""How much of a worker one Git repository may use. Owns the numbers; whoever meets one raises ArchiveInvalid."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from fleetbeat.artifacts.archive import MIB, Limits
from fleetbeat.errors import GitOperationFailed


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


@dataclass(frozen=True)
class Deadline:
    """The moment by which a run must be over."""

    at: float
    """`time.monotonic()` seconds."""
    seconds: float
    """What was allowed in all, for the message."""

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds, seconds)

    def left(self) -> float:
        """Seconds that remain, more than 0; GitOperationFailed when none do."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise GitOperationFailed(f"not finished within spec.timeout ({self.seconds:g}s)")
        return left
