"""How much of a worker one registry may use. Owns the numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetbeat.artifacts.archive import MIB, Limits


@dataclass(frozen=True)
class OciLimits:
    """Bounds on what a registry may send and on what a layer may unfold to."""

    manifest_bytes: int = 4 * MIB
    """One manifest; registries themselves take no larger ones."""
    blob_bytes: int = 1024 * MIB
    """One layer, as sent."""
    listing_bytes: int = 64 * MIB
    """All pages of one list of tags or referrers."""
    pages: int = 1000
    """Pages of one list."""
    token_bytes: int = 1 * MIB
    """A token server's answer."""
    archive: Limits = field(default_factory=Limits)


MAX_REDIRECTS = 5
CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
