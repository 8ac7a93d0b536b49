"""A registry in a real Redis, rebuilt and ready, for tests of the verbs and of beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fleetbeat.state import REGISTRAR, Record, Run, Shares, State

SHARD = "apply-0"
HOUR = 3_600_000


def ref(name: str) -> str:
    """The ref of a test resource."""
    return f"Kustomization/apps/{name}"


def record(name: str, **fields: Any) -> Record:
    """A record that differs from the others in its name alone."""
    given: dict[str, Any] = {
        "shard": SHARD,
        "ref": ref(name),
        "uid": f"uid-{name}",
        "rv": "10",
        "generation": 1,
        "every_ms": HOUR,
        "cluster": "hub",
        "obj": b'{"metadata":{}}',
    }
    return Record(**given | fields)


class Registry:
    """A State together with the registrar's fence."""

    def __init__(self, redis_url: str) -> None:
        self.url = redis_url
        self.state = State(redis_url)
        self.fence = 0

    def rebuild(self, *records: Record) -> None:
        """A new epoch that knows these records and nothing more; they are due within their interval."""
        fence = self.state.acquire(REGISTRAR, "test", 600)
        assert fence is not None
        self.fence = fence
        self.state.begin_epoch(fence)
        self.state.register(records, fence)
        self.state.commit_epoch(fence)

    def add(self, *records: Record) -> None:
        """Register what the hub says now."""
        self.state.register(records, self.fence)

    def settled(self, *records: Record, sweepable: bool = False) -> None:
        """Register records and let each have its first run."""
        self.add(*records)
        for run in self.claim(limit=len(records) or 1, lane_cap=10_000, cluster_cap=10_000):
            assert self.state.start(SHARD, run.ref, run.fence)
            self.state.finish(SHARD, run.ref, run.fence, shares=Shares.ALL if sweepable else Shares.NONE)

    def claim(self, **options: Any) -> list[Run]:
        """The runs of one claim."""
        return self.state.claim(SHARD, **options).runs

    def started(self, name: str) -> Run:
        """Poke, claim and start one ref."""
        self.state.poke([ref(name)], "test")
        run = next(run for run in self.claim() if run.ref == ref(name))
        assert self.state.start(SHARD, run.ref, run.fence)
        return run

    def finish(self, run: Run, **result: Any) -> str:
        """End a run."""
        return self.state.finish(SHARD, run.ref, run.fence, **result)

    def due_in(self, name: str) -> float:
        """Seconds until a ref is due."""
        seen = self.state.inspect(ref(name))
        assert seen is not None
        assert seen.due is not None
        return (seen.due - seen.now) / 1000


@contextmanager
def rebuilt(redis_url: str, records: Sequence[Record] = ()) -> Iterator[Registry]:
    """A registry that stands."""
    registry = Registry(redis_url)
    registry.rebuild(*records)
    yield registry
    registry.state.close()
