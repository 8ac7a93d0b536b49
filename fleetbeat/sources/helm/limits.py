"""How much of a worker a chart or an index may use. Owns the numbers; whoever meets one says which."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbeat.artifacts.archive import MIB


@dataclass(frozen=True)
class HelmLimits:
    """Bounds on what a server or a source may offer; sizes in bytes."""

    index_bytes: int = 50 * MIB
    """An index as sent."""
    chart_bytes: int = 10 * MIB
    """A packaged chart as sent."""
    file_bytes: int = 5 * MIB
    """One file of a chart; Helm's own limit, so that a larger one would fail later."""
    total_bytes: int = 100 * MIB
    """All files of a chart, unpacked."""
    files: int = 20_000
    """Files of a chart, those of its dependencies included."""
    dependencies: int = 200


LIMITS = HelmLimits()
