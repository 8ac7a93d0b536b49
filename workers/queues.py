"""Which role consumes which queues: one queue for each shard, of the shard's name."""

from __future__ import annotations

from fleetbeat.state.shards import APPLY, NOTIFY, SOURCE

QUEUES: dict[str, tuple[str, ...]] = {"source": (SOURCE, NOTIFY), "apply": tuple(APPLY)}
