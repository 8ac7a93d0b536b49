"""From what was claimed to the Celery messages that say so.

A message is a hint with a fence: sent twice, the second is refused; lost, the lease ends and the ref is claimed again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fleetbeat.state import Claimed, Run, Sweep
from fleetbeat.state.shards import lane

log = logging.getLogger(__name__)


class Message(NamedTuple):
    """One Celery message."""

    queue: str
    task: str
    id: str
    args: tuple[Any, ...]
    what: str
    """Shown as the arguments."""
    why: str
    """Shown as the keyword arguments."""


class Routes:
    """Which task runs which kind, and which one sweeps a lane."""

    def __init__(self, routes: Mapping[str, str], sweeps: Mapping[str, str]) -> None:
        """routes: kind → task; sweeps: lane → task."""
        self._routes = routes
        self._sweeps = sweeps
        self._unrouted: set[str] = set()

    def messages(self, shard: str, claimed: Claimed) -> Iterator[Message]:
        """What to publish for one claim; refs of a kind without a task are left to their leases, which is told once."""
        for run in claimed.runs:
            message = self._run(shard, run)
            if message is not None:
                yield message
        for sweep in claimed.sweeps:
            yield self._swept(shard, sweep)

    def _run(self, shard: str, run: Run) -> Message | None:
        kind = run.ref.split("/", 1)[0]
        task = self._routes.get(kind)
        if task is None:
            self._tell_unrouted(kind)
            return None
        return Message(
            shard, task, f"{run.ref}#{run.fence}", (shard, run.ref, run.fence), run.ref, run.why or "interval"
        )

    def _swept(self, shard: str, sweep: Sweep) -> Message:
        args = (shard, sweep.cluster, sweep.fence, sweep.refs, sweep.why)
        what = f"{sweep.cluster}: {len(sweep.refs)} resources"
        task = self._sweeps[lane(shard)]
        return Message(shard, task, f"sweep/{sweep.cluster}#{sweep.fence}", args, what, sweep.why or "interval")

    def _tell_unrouted(self, kind: str) -> None:
        if kind not in self._unrouted:
            self._unrouted.add(kind)
            log.error("no task runs resources of kind %s; add it to fleetbeat_routes", kind)
