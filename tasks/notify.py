"""Tasks of the `notify` lane: what lets events in and out."""

from __future__ import annotations

from celery import shared_task

from fleetbeat.errors import FleetbeatError
from fleetbeat.reconcile import receiver
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.run import execute
from tasks.context import context


@shared_task(name="notify.receiver", throws=(FleetbeatError,))
def check_receiver(shard: str, ref: str, fence: int) -> Outcome:
    """One run of a Receiver."""
    return execute(context(), receiver.PIPELINE, shard, ref, fence)
