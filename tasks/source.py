"""Tasks of the `source` lane: fetch what sources name and publish it as artifacts."""

from __future__ import annotations

import boto3  # noqa: F401 - loaded before the pool forks, so that its children share it
from celery import shared_task

from fleetbeat.errors import FleetbeatError
from fleetbeat.reconcile import gitrepository
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.run import execute
from tasks.context import context


@shared_task(name="source.git.fetch", throws=(FleetbeatError,))
def fetch_git(shard: str, ref: str, fence: int) -> Outcome:
    """One run of a GitRepository."""
    return execute(context(), gitrepository.PIPELINE, shard, ref, fence)
