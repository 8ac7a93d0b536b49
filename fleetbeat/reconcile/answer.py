"""Refs that a run would leave as they are: told apart from the others, and answered as such a run answers.

Owns what must hold before nobody applies. Always: the last run succeeded at this generation, on this cluster. For a
*request*: it did so at the artifact's revision, and nothing goes into the build that is not watched. For a *new
artifact*: it shows all that the last build saw of the old one. Reads the registry and the render cache only, all refs
in a few calls; that the live objects are as they were is the sweep's to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from fleetbeat.api.conditions import is_ready
from fleetbeat.api.refs import Ref
from fleetbeat.errors import FleetbeatError
from fleetbeat.reconcile import dependencies
from fleetbeat.reconcile.accepting import read_spec
from fleetbeat.reconcile.consumed import artifact_file
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.healthwait import succeed
from fleetbeat.reconcile.kustomization_work import SUCCEEDED, KustomizationWork
from fleetbeat.reconcile.lease import Lease
from fleetbeat.reconcile.status import decode_status
from fleetbeat.render.unmoved import unmoved
from fleetbeat.state import CALM, Answer, Look

Memos = Mapping[str, dict[str, Any]]
READS_MOVED = "what it is built from moved"


class Answers:
    """Some refs of one sweep, as the registry knows them."""

    def __init__(self, ctx: Context, shard: str, cluster: str, fence: int, why: str, memos: Memos) -> None:
        self._ctx = ctx
        self._cluster = cluster
        self._looks = ctx.state.looks(list(memos))
        self._elsewhere = dependencies.reader(ctx.state, ctx.settings.owned_kinds)
        self.works = {ref: _work(ctx, shard, fence, why, found, memos[ref]) for ref, found in self._looks.items()}

    def refused(self) -> dict[str, str]:
        """ref → why it gets a run of its own, whatever the cluster says."""
        found: dict[str, str] = {}
        for ref, work in self.works.items():
            try:
                found[ref] = self._decode(work)
            except FleetbeatError as error:
                found[ref] = error.message
        ready = [work for ref, work in self.works.items() if not found[ref]]
        self._read(ready)
        found |= {str(work.ref): self._unsettled(work) or self._changed(work) for work in ready}
        return {ref: why for ref, why in found.items() if why}

    def _decode(self, work: KustomizationWork) -> str:
        """What the resource itself says against an answer; "" when nothing does."""
        if work.deleting or work.suspended:
            return "it is not to be applied"
        read_spec(work)
        reference = work.spec.source_ref
        work.source = Ref(reference.kind, reference.namespace or work.ref.namespace, reference.name)
        if work.reach.cluster != self._cluster:
            return "it moved to another cluster"
        return ""

    def _read(self, works: Sequence[KustomizationWork]) -> None:
        """Everything that these refs depend on, in two calls."""
        artifacts = self._ctx.state.artifacts(list({str(work.source) for work in works}))
        for work in works:
            record = artifacts[str(work.source)]
            work.artifact = msgspec.json.decode(record) if record else None
        named = {str(ref) for work in works for ref in dependencies.depends_on(work.ref, work.obj)}
        self._looks |= self._ctx.state.looks(list(named - self._looks.keys()))

    def _unsettled(self, work: KustomizationWork) -> str:
        """Why the last run is none to go by; "" when it is."""
        old, history = work.old, work.old.get("history") or [{}]
        if work.artifact is None:
            return "its source has no artifact"
        if old.get("observedGeneration") != work.generation:
            return "generation moved"
        last = (history[0].get("lastReconciledStatus"), (history[0].get("metadata") or {}).get("revision"))
        if not is_ready(old) or last != (SUCCEEDED, old.get("lastAppliedRevision")) or "health" in work.memo:
            return "it is not ready"
        return ""

    def _changed(self, work: KustomizationWork) -> str:
        """What else happened since the last run succeeded; "" when nothing did."""
        raise NotImplementedError

    def wake(self, answers: dict[str, Answer], told: Mapping[str, str], news: str) -> dict[str, Answer]:
        """`answers`, where those in `told` (ref → target) wake whoever refers to the target and has no answer here."""
        dependents = self._ctx.state.dependents(list(told.values()))
        for ref, target in told.items():
            wakes = tuple(dependents[target] - answers.keys())
            answers[ref] = answers[ref]._replace(wakes=wakes, news=f"dependency {ref} {news}")
        return answers

    def _waits(self, work: KustomizationWork) -> str:
        """Why the dependencies are not ready; "" when they are."""
        try:
            dependencies.require_ready(work.ref, work.obj, work.revision, self._dependency)
        except FleetbeatError as error:
            return error.message
        return ""

    def _dependency(self, ref: Ref) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
        if ref.kind not in self._ctx.settings.owned_kinds:
            return self._elsewhere(ref)
        found = self._looks.get(str(ref))
        return None if found is None else (msgspec.json.decode(found.obj), decode_status(found.status))


class Requests(Answers):
    """Refs that were only asked to run."""

    def answers(self, refs: Iterable[str]) -> dict[str, Answer]:
        """What a run that found nothing to do would write for each of `refs`; none of them was refused."""
        return {ref: _answer(self.works[ref])[0] for ref in refs if ref in self.works}

    def _decode(self, work: KustomizationWork) -> str:
        if (work.obj["spec"].get("postBuild") or {}).get("substituteFrom"):
            return "variables may have changed"
        if work.obj["spec"].get("decryption"):
            return "keys may have changed"
        return super()._decode(work)

    def _changed(self, work: KustomizationWork) -> str:
        return "revision moved" if work.old.get("lastAppliedRevision") != work.revision else self._waits(work)


class Moved(Answers):
    """Refs whose source has a new artifact."""

    def refused(self) -> dict[str, str]:
        """As above; besides, what is built from something that moved."""
        found = super().refused()
        works = [work for ref, work in self.works.items() if ref not in found]
        for _, same in groupby(sorted(works, key=_digest), key=_digest):
            group = list(same)
            held = self._held(group)
            found |= {str(work.ref): READS_MOVED for work, holds in zip(group, held, strict=True) if not holds}
        return found

    def answers(self, refs: Iterable[str]) -> dict[str, Answer]:
        """Those of `refs` whose dependencies are ready at this artifact, or become so by an answer beside theirs."""
        found: dict[str, Answer] = {}
        news: list[str] = []
        for ref in _in_order(self.works, refs):
            work, look = self.works[ref], self._looks[ref]
            if self._waits(work):
                continue
            found[ref], announce = _answer(work, calm=True)
            if announce:
                news.append(ref)
            self._looks[ref] = look._replace(status=found[ref].status)
        return self.wake(found, {ref: ref for ref in news}, "is ready")

    def _changed(self, work: KustomizationWork) -> str:
        return ""  # dependencies are for `answers` to look at, in their order

    def _held(self, works: Sequence[KustomizationWork]) -> list[bool]:
        """Whether each one's last build, with the one artifact of all of `works`, would end as it did."""
        ctx, artifact = self._ctx, works[0].got
        try:
            file = artifact_file(ctx, artifact)
            renders = [(work.obj["spec"], work.memo.get("render") or "") for work in works]
            return unmoved(ctx.engine, ctx.renders, file, artifact["digest"], renders)
        except FleetbeatError:
            return [False] * len(works)  # whose runs say what the matter is


def _digest(work: KustomizationWork) -> str:
    return str(work.got["digest"])


def _work(ctx: Context, shard: str, fence: int, why: str, found: Look, memo: dict[str, Any]) -> KustomizationWork:
    return KustomizationWork(
        ctx=ctx,
        ref=Ref.parse(found.ref),
        shard=shard,
        fence=fence,
        why=why,
        cluster=found.cluster,
        obj=msgspec.json.decode(found.obj),
        old=decode_status(found.status),
        memo=memo,
        lease=Lease(ctx.state, shard, found.ref, fence),
    )


def _in_order(works: Mapping[str, KustomizationWork], refs: Iterable[str]) -> list[str]:
    """`refs` with each one's dependencies before it; those of a cycle are left out."""
    waiting = {ref: {str(one) for one in dependencies.depends_on(works[ref].ref, works[ref].obj)} for ref in refs}
    ordered: list[str] = []
    while ready := [ref for ref, named in waiting.items() if named.isdisjoint(waiting)]:
        ordered += ready
        for ref in ready:
            del waiting[ref]
    return ordered


def _answer(work: KustomizationWork, *, calm: bool = False) -> tuple[Answer, bool]:
    """What a run would write, and whether it would wake dependents; build and inventory are those of the last run."""
    work.resumed = {"digest": work.old["history"][0]["digest"]}
    if "inventory" in work.old:
        work.resumed["inventory"] = work.old["inventory"]
    outcome = succeed(work, f"0/{len(work.memo['fp'])} changed", health="healthy" in work.memo)
    status = {CALM: True, **(outcome.status or {})} if calm else outcome.status
    return Answer(msgspec.json.encode(status), encoded_events(work)), bool(outcome.announce)


def encoded_events(work: KustomizationWork) -> tuple[bytes, ...]:
    """What the work has to tell, for an answer."""
    return tuple(msgspec.json.encode(event) for event in work.events)
