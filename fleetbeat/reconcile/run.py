"""Carries one run out: start under its fence, walk the pipeline's steps, finish with whatever came of it.

Owns the frame around every pipeline; knows nothing of Git or Kustomizations. A step returns None to go on or an Outcome
to end; an exception of `fleetbeat.errors` ends the run as failed. Whatever happens, `finish` is called once, unless the
lease was lost: then nothing is written, because another run is at work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Generic, TypeVar

import msgspec

from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import REQUESTED_AT
from fleetbeat.api.refs import Ref, status_of
from fleetbeat.api.suspension import is_suspended
from fleetbeat.errors import FleetbeatError, LostLease, Rebuilding, StateUnavailable, Unexpected
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.lease import LEASE_SECONDS, Lease
from fleetbeat.reconcile.outcome import DROPPED, Event, Outcome, Status
from fleetbeat.reconcile.status import Attempt, decode_status, now_text

log = logging.getLogger(__name__)

SpecT = TypeVar("SpecT")


@dataclass
class Work(Generic[SpecT]):
    """One run's workbench: what it was given, filled further by each step."""

    ctx: Context
    ref: Ref
    shard: str
    fence: int
    why: str
    cluster: str
    obj: dict[str, Any]
    old: Status
    memo: dict[str, Any]
    lease: Lease
    asked: int = 0
    """When it was poked last, ms of Redis' clock."""
    handed: int = 0
    """When it was handed out, ms of Redis' clock."""
    epoch: str = ""
    """Names the Redis server whose clock that is."""
    started: float = field(default_factory=monotonic)
    events: list[Event] = field(default_factory=list)
    decoded: SpecT | None = None

    @property
    def spec(self) -> SpecT:
        """The decoded spec."""
        if self.decoded is None:
            raise AssertionError("spec is read before the step that sets it")
        return self.decoded

    @property
    def uid(self) -> str:
        """`metadata.uid` of the resource."""
        return str(self.obj["metadata"]["uid"])

    @property
    def generation(self) -> int:
        """`metadata.generation` of the resource."""
        return int(self.obj["metadata"].get("generation", 0))

    @property
    def deleting(self) -> bool:
        """True when the resource waits for its finalizer."""
        return bool(self.obj["metadata"].get("deletionTimestamp"))

    @property
    def suspended(self) -> bool:
        """True when a person stopped it; it can still be deleted."""
        return is_suspended(self.ref.kind, self.obj)

    @property
    def requested(self) -> bool:
        """True when a user asked for this run by annotation."""
        token = (self.obj["metadata"].get("annotations") or {}).get(REQUESTED_AT)
        return bool(token) and token != self.old.get("lastHandledReconcileAt")

    @property
    def attempt(self) -> Attempt:
        """Builds this run's status."""
        return Attempt(self.obj, self.old)

    @property
    def seconds(self) -> float:
        """How long this run has taken so far."""
        return monotonic() - self.started

    def event(
        self,
        reason: str,
        message: str,
        *,
        warning: bool = False,
        trace: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Note something that happened; told when the run finishes."""
        self.events.append(
            Event(
                ref=str(self.ref),
                uid=self.uid,
                reason=reason,
                message=message,
                type="Warning" if warning else "Normal",
                metadata=dict(metadata or {}),
                time=now_text(),
                trace=trace,
            )
        )


Step = Callable[[Any], Outcome | None]


@dataclass(frozen=True)
class Pipeline:
    """The steps of one kind, and how its failures are told."""

    work: type[Work[Any]]
    steps: Sequence[Step]
    on_error: Callable[[Any, FleetbeatError], Outcome]


def execute(ctx: Context, pipeline: Pipeline, shard: str, ref: str, fence: int) -> Outcome:
    """Run `pipeline` for a claimed ref and finish it; raises the run's error after its status was saved."""
    try:
        given = ctx.state.start(shard, ref, fence, LEASE_SECONDS)
    except (Rebuilding, StateUnavailable):
        return DROPPED
    if given is None:
        return DROPPED
    lease = Lease(ctx.state, shard, ref, fence)
    work = pipeline.work(
        ctx=ctx,
        ref=Ref.parse(ref),
        shard=shard,
        fence=fence,
        why=given.why,
        cluster=given.cluster,
        obj=msgspec.json.decode(given.obj),
        old=decode_status(given.status),
        memo=msgspec.json.decode(given.memo) if given.memo else {},
        lease=lease,
        asked=given.asked,
        handed=given.now,
        epoch=given.epoch,
    )
    with ctx.heartbeat.keep(lease):
        outcome = _walk(pipeline, work)
    return _finish(work, outcome)


def _walk(pipeline: Pipeline, work: Work[Any]) -> Outcome:
    if work.suspended and not work.deleting:
        return _rest(work)
    try:
        for step in pipeline.steps:
            outcome = step(work)
            if outcome is not None:
                return outcome
    except (LostLease, Rebuilding, StateUnavailable):
        return DROPPED
    except FleetbeatError as error:
        return pipeline.on_error(work, error)
    except Exception as error:
        log.exception("%s: a step failed unexpectedly", work.ref)
        return pipeline.on_error(
            work, Unexpected(f"unexpected {type(error).__name__} in {work.ref.kind} run, see the worker's log")
        )
    raise AssertionError("the last step of a pipeline must return an outcome")


def _rest(work: Work[Any]) -> Outcome:
    """Nothing is done for what is suspended, but its status tells that this was seen."""
    status = work.attempt.suspended(KINDS[work.ref.kind].controller)
    return Outcome("suspended", stirred=True, status=status) if status != work.old else Outcome("suspended")


def _announcement(work: Work[Any], outcome: Outcome) -> tuple[str, str]:
    """Who is told of the outcome, and what."""
    if outcome.announce:
        return str(work.ref), f"dependency {work.ref} {outcome.announce}"
    return (status_of(work.ref), f"dependency {work.ref} changed") if outcome.stirred else ("", "")


def _finish(work: Work[Any], outcome: Outcome) -> Outcome:
    if outcome is DROPPED:
        return DROPPED
    events = (*work.events, *outcome.events)
    outcome = replace(outcome, seconds=work.seconds, events=events)
    status = {"$finalized": True} if outcome.finalized else outcome.status
    status = {"$released": True} if outcome.released else status
    try:
        ended = work.ctx.state.finish(
            work.shard,
            str(work.ref),
            work.fence,
            status=None if status is None else msgspec.json.encode(status),
            memo=None if outcome.memo is None else msgspec.json.encode(outcome.memo),
            next_ms=None if outcome.next_in is None else int(outcome.next_in * 1000),
            shares=outcome.shares,
            announce=_announcement(work, outcome),
            events=[msgspec.json.encode(event) for event in events],
        )
    except (Rebuilding, StateUnavailable):
        return DROPPED
    if ended == "stale":
        return DROPPED
    if outcome.error is not None:
        raise outcome.error
    return outcome
