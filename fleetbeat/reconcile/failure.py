"""How a Kustomization run tells failure: status, event, when it is tried again, and who hears of it."""

from __future__ import annotations

from typing import Any

from fleetbeat.api.conditions import get_condition
from fleetbeat.errors import (
    ArtifactFailed,
    ArtifactMoving,
    DependencyCycle,
    DependencyNotReady,
    FleetbeatError,
    HealthCheckFailed,
    PruneBraked,
)
from fleetbeat.reconcile import backoff
from fleetbeat.reconcile.kustomization_work import DEFAULT_INTERVAL, KustomizationWork, fields
from fleetbeat.reconcile.outcome import Outcome, Status

DEPENDENCY_RETRY, LONGEST_DEPENDENCY_RETRY = 30.0, 300.0
"""Seconds until a ref looks at its dependencies again, growing: the one that becomes ready pokes it long before."""


def fail(work: KustomizationWork, error: FleetbeatError) -> Outcome:
    """A failed attempt: told as an event, tried again after `retryInterval`, or sooner when a cluster or S3 is away."""
    absent = isinstance(error, DependencyNotReady) or (isinstance(error, ArtifactFailed) and work.artifact is None)
    status = work.attempt.failed(error, waits=absent, **fields(work, error.reason))
    if isinstance(error, HealthCheckFailed):
        work.attempt.condition(status, "Healthy", "False", error.reason, error.message)
    retry = work.retry if work.decoded is not None else DEFAULT_INTERVAL
    cyclic, away = isinstance(error, DependencyCycle), backoff.is_away(error)
    waits = isinstance(error, (DependencyNotReady, ArtifactMoving))
    memo, waiting = _remembered(work, waits=waits, away=away), error.retry_after
    if waits:
        waiting = backoff.pause(memo["waits"], DEPENDENCY_RETRY, LONGEST_DEPENDENCY_RETRY)
    elif away:
        waiting = max(waiting or 0.0, backoff.pause(memo["failures"]))
    told = _told(work, error)
    unoffered = isinstance(error, ArtifactFailed) and work.artifact is None  # the source tells what is wrong with it
    if not unoffered and (work.requested or not (told and (waits or away or isinstance(error, PruneBraked)))):
        work.event(error.reason, error.message, warning=cyclic or not waits, metadata=work.metadata)
    if cyclic and not told:
        _pass_on(work)
    return Outcome(
        summary=f"{error.reason}: {error.message}",
        status=status,
        memo=memo,
        next_in=min(waiting, retry) if waiting else retry,
        stirred=news(work, status),
        error=None if waits and not cyclic else error,
    )


def _remembered(work: KustomizationWork, *, waits: bool, away: bool) -> dict[str, Any]:
    """The memo after a failure: how often in a row it was waited, or nothing answered."""
    dropped = {"health", "failures", "waits"} | ({"acyclic"} if work.cycle else set())
    memo = {key: value for key, value in work.memo.items() if key not in dropped}
    if waits:
        memo["waits"] = backoff.count({"failures": work.memo.get("waits", 0)}, work.why)
    elif away:
        memo["failures"] = backoff.count(work.memo, work.why)
    return memo


def _pass_on(work: KustomizationWork) -> None:
    """Wake the one before this ref in its cycle: so the news go around, and end where they are known."""
    before = work.cycle[-2]
    if before != str(work.ref):
        work.ctx.state.poke([before], f"cycle of dependencies with {work.ref}", urgent=True)


def news(work: KustomizationWork, status: Status) -> bool:
    """Whether Ready says something else than before."""
    return _heard(status) != _heard(work.old)


def _heard(status: Status) -> tuple[Any, ...]:
    ready = get_condition(status.get("conditions") or [], "Ready") or {}
    return ready.get("status"), ready.get("reason"), status.get("observedGeneration", -1)


def _told(work: KustomizationWork, error: FleetbeatError) -> bool:
    """Whether the last attempt ended in the same failure."""
    ready = get_condition(work.old.get("conditions") or [], "Ready") or {}
    return (ready.get("status"), ready.get("reason"), ready.get("message")) == ("False", error.reason, error.message)
