"""Tasks of the `apply` lanes: bring objects on clusters to what their sources say."""

from __future__ import annotations

from celery import shared_task

from fleetbeat.errors import FleetbeatError
from fleetbeat.reconcile import kustomization
from fleetbeat.reconcile.healthsweep import Looked, look_at_health
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.run import execute
from fleetbeat.reconcile.sweep import Swept, sweep
from fleetbeat.state.reasons import HEALTH
from tasks.context import context


@shared_task(name="apply.kustomization", throws=(FleetbeatError,))
def apply_kustomization(shard: str, ref: str, fence: int) -> Outcome:
    """One run of a Kustomization."""
    return execute(context(), kustomization.PIPELINE, shard, ref, fence)


@shared_task(name="apply.sweep", throws=(FleetbeatError,))
def sweep_cluster(shard: str, cluster: str, fence: int, refs: list[str], why: str) -> Swept | Looked:
    """One look at everything of a cluster whose interval came round or, as `why` says, that has something in common."""
    if why == HEALTH:
        return look_at_health(context(), shard, cluster, fence, refs)
    return sweep(context(), shard, cluster, fence, refs, why)
