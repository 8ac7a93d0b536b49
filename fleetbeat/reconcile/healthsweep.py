"""One look at the health of everything on a cluster that somebody waits for.

Owns the share that all waits of a cluster have in that look: each is judged as a run of its own would, and goes on,
ends Ready, or, where it fails, gets such a run to say so. Reads our own objects only, under Fleetbeat's own account;
health that is told otherwise is never shared (`healthwait.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import time

import msgspec

from fleetbeat.api.refs import ObjectId, status_of
from fleetbeat.errors import FleetbeatError
from fleetbeat.kube import marks
from fleetbeat.kube.reach import Reach
from fleetbeat.kube.readiness import Health
from fleetbeat.reconcile.answer import Answers, encoded_events
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.health import unsettled
from fleetbeat.reconcile.healthwait import awaited, cancelled_by, resume
from fleetbeat.reconcile.kustomization_work import KustomizationWork
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.state import Answer, Shares
from fleetbeat.state.reasons import HEALTH, HEALTH_ALONE


@dataclass(frozen=True)
class Looked:
    """What a look at health found, for Flower."""

    cluster: str
    ready: int
    waiting: int
    poked: tuple[str, ...]
    seconds: float = 0.0

    def __repr__(self) -> str:
        poked = f", {len(self.poked)} poked: {', '.join(self.poked[:3])}" if self.poked else ""
        return f"{self.cluster}: {self.ready} healthy, {self.waiting} wait{poked} in {self.seconds:.2f}s"


class Waits(Answers):
    """Refs that wait for the health of what they applied."""

    def answers(self, refs: Iterable[str], found: Mapping[ObjectId, Health]) -> tuple[dict[str, Answer], list[str]]:
        """What each look of `refs` ends with when `found` are not current yet, and those whose health check failed."""
        answers: dict[str, Answer] = {}
        ready: dict[str, str] = {}
        stirred: dict[str, str] = {}
        failed: list[str] = []
        for ref in refs:
            work = self.works[ref]
            wait = work.memo["health"]
            waiting = {oid: found[oid] for oid in awaited(wait) if oid in found}
            try:
                outcome = resume(work, wait, waiting)
            except FleetbeatError:
                failed.append(ref)
                continue
            answers[ref] = _answer(work, outcome)
            if outcome.announce:
                ready[ref] = ref
            elif outcome.stirred:
                stirred[ref] = status_of(work.ref)
        answers = self.wake(self.wake(answers, stirred, "changed"), ready, "is ready")
        return answers, failed

    def _unsettled(self, work: KustomizationWork) -> str:
        if work.artifact is None:
            return "its source has no artifact"
        if cancelled_by(work, work.memo["health"]):
            return "the health check is canceled"
        return "it has objects elsewhere" if work.memo.get("left") else ""

    def _changed(self, work: KustomizationWork) -> str:
        return ""


def look_at_health(ctx: Context, shard: str, cluster: str, fence: int, refs: list[str]) -> Looked:
    """Look at what `refs` of one cluster wait for; where it cannot be reached each gets its own run to say so."""
    begun = time()
    memos = {ref: msgspec.json.decode(memo) for ref, memo in ctx.state.memos(shard, refs).items() if memo}
    waits = Waits(ctx, shard, cluster, fence, HEALTH, {ref: memo for ref, memo in memos.items() if memo.get("health")})
    poked = dict.fromkeys(set(refs) - waits.works.keys(), "it waits for nothing") | waits.refused()
    ctx.state.settle(shard, fence, (), poked)
    works = {ref: work for ref, work in waits.works.items() if ref not in poked}
    try:
        answers, failed = waits.answers(works, _look(ctx, cluster, works))
    except FleetbeatError:
        answers, failed = {}, list(works)
    ctx.state.answer(shard, fence, answers)
    ctx.state.settle(shard, fence, (), dict.fromkeys(failed, HEALTH_ALONE))
    ready = sum(found.shares is not Shares.HEALTH for found in answers.values())
    return Looked(cluster, ready, len(answers) - ready, (*poked, *failed), time() - begun)


def _answer(work: KustomizationWork, outcome: Outcome) -> Answer:
    return Answer(
        status=None if outcome.status is None else msgspec.json.encode(outcome.status),
        events=encoded_events(work),
        memo=None if outcome.memo is None else msgspec.json.encode(outcome.memo),
        next_ms=None if outcome.next_in is None else int(outcome.next_in * 1000),
        shares=outcome.shares,
    )


def _look(ctx: Context, cluster: str, works: Mapping[str, KustomizationWork]) -> dict[ObjectId, Health]:
    wanted = {oid: version for work in works.values() for oid, version in awaited(work.memo["health"]).items()}
    if not wanted:
        return {}
    target = ctx.targets.reach(Reach.decode(cluster, ctx.state.cluster(cluster)))
    return unsettled(target, wanted, marks.OWNED)
