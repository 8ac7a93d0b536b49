"""Which role consumes which queues, one for each shard and of its name, and which tasks it therefore loads."""

from __future__ import annotations

from fleetbeat.state.shards import APPLY, NOTIFY, SOURCE

QUEUES: dict[str, tuple[str, ...]] = {"source": (SOURCE, NOTIFY), "apply": tuple(APPLY)}
TASKS: dict[str, tuple[str, ...]] = {"source": ("tasks.source", "tasks.notify"), "apply": ("tasks.apply",)}
