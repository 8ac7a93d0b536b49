"""Read-only looks at the due-set, for the command line, Flower and the observer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from fleetbeat.state import shards
from fleetbeat.state.records import Depth, Inspection, Phase
from fleetbeat.state.server import Server, text


class Views(Server):
    """inspect, live, depths."""

    def inspect(self, ref: str) -> Inspection | None:
        """Where a ref stands; None when it is not registered."""
        reply = self.call("inspect", ref)
        if reply is None:
            return None
        shard, cluster, uid, phase, fence, why, due, urgent, lease, *rest = map(text, reply)
        dirty, suspended, held, every, now = rest
        return Inspection(
            shard=shard,
            cluster=cluster,
            uid=uid,
            phase=cast(Phase, phase),
            fence=int(fence),
            why=why,
            due=int(due) if due else None,
            urgent=urgent == "1",
            lease=int(lease) if lease else None,
            dirty=dirty == "1",
            suspended=suspended == "1",
            held=held == "1",
            every_ms=int(every),
            now=int(now),
        )

    def live(self, refs: Sequence[str]) -> dict[str, Phase]:
        """ref → phase, of those that are queued, running or swept."""
        if not refs:
            return {}
        phases = zip(refs, self.call("live", *refs), strict=True)
        return {ref: cast(Phase, text(phase)) for ref, phase in phases if phase}

    def depths(self) -> list[Depth]:
        """How busy each shard is."""
        return [self._depth(shard) for shard in shards.ALL]

    def _depth(self, shard: str) -> Depth:
        refs, due, scheduled, live, leased, late = map(int, self.call("depth", shard))
        return Depth(shard, refs, due, scheduled, live, leased, late / 1000)
