"""Tasks of the `source` lane: fetch what sources name and publish it as artifacts."""

from __future__ import annotations

from celery import shared_task

from fleetbeat.artifacts.store import preload
from fleetbeat.errors import FleetbeatError
from fleetbeat.reconcile import gitrepository
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.run import execute
from fleetbeat.reconcile.sourcesweep import Polled, sweep
from tasks.context import context

preload()  # before the pool forks, so that its children share it


@shared_task(name="source.git.fetch", throws=(FleetbeatError,))
def fetch_git(shard: str, ref: str, fence: int) -> Outcome:
    """One run of a GitRepository."""
    return execute(context(), gitrepository.PIPELINE, shard, ref, fence)


@shared_task(name="source.sweep", throws=(FleetbeatError,))
def sweep_sources(shard: str, cluster: str, fence: int, refs: list[str], why: str) -> Polled:
    """One look at the upstream of all sources whose interval came round; the cluster is the hub, `why` is empty."""
    return sweep(context(), shard, fence, refs)
