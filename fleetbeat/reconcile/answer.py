"""Requested refs that a run would leave as they are: told apart from the others, and answered as such a run answers.

Owns what must hold before nobody renders: the last run succeeded at this generation and at the artifact's revision, and
nothing goes into the build or the decision that is not watched. Reads the registry only, all refs in a few calls; that
the live objects are as they were is the sweep's to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from fleetbeat.api.conditions import is_ready
from fleetbeat.api.refs import Ref
from fleetbeat.errors import FleetbeatError
from fleetbeat.reconcile import dependencies
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.healthwait import succeed
from fleetbeat.reconcile.kustomization_work import SUCCEEDED, KustomizationWork, read_spec
from fleetbeat.reconcile.lease import Lease
from fleetbeat.state import Answer, Look

Memos = Mapping[str, dict[str, Any]]


class Requests:
    """The requested refs of one sweep, as the registry knows them."""

    def __init__(self, ctx: Context, shard: str, cluster: str, fence: int, memos: Memos) -> None:
        self._ctx = ctx
        self._cluster = cluster
        self._looks: dict[str, Look | None] = dict(ctx.state.looks(list(memos)))
        self._works = {
            ref: _work(ctx, shard, fence, found, memos[ref]) for ref, found in self._looks.items() if found is not None
        }

    def refused(self) -> dict[str, str]:
        """ref → why it gets a run of its own."""
        found: dict[str, str] = {}
        for ref, work in self._works.items():
            try:
                found[ref] = self._decode(work)
            except FleetbeatError as error:
                found[ref] = error.message
        ready = [work for ref, work in self._works.items() if not found[ref]]
        self._read(ready)
        for work in ready:
            found[str(work.ref)] = self._changed(work)
        return {ref: why for ref, why in found.items() if why}

    def answers(self, refs: Iterable[str]) -> dict[str, Answer]:
        """What a run that found nothing to do would write for each of `refs`; none of them was refused."""
        return {ref: _answer(self._works[ref]) for ref in refs if ref in self._works}

    def _decode(self, work: KustomizationWork) -> str:
        """What the resource itself says against an answer; "" when nothing does."""
        if work.deleting or read_spec(work) is not None:
            return "it is not to be applied"
        reference, settings = work.spec.source_ref, work.ctx.settings
        work.source = Ref(reference.kind, reference.namespace or work.ref.namespace, reference.name)
        if settings.no_cross_namespace_refs and work.source.namespace != work.ref.namespace:
            return "its source is in another namespace"
        if (work.obj["spec"].get("postBuild") or {}).get("substituteFrom"):
            return "variables may have changed"
        if work.spec.decryption is not None:
            return "keys may have changed"
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

    def _changed(self, work: KustomizationWork) -> str:
        """What happened since the last run succeeded; "" when nothing did."""
        old, history = work.old, work.old.get("history") or [{}]
        if work.artifact is None or old.get("lastAppliedRevision") != work.revision:
            return "revision moved"
        if old.get("observedGeneration") != work.generation:
            return "generation moved"
        last = (history[0].get("lastReconciledStatus"), (history[0].get("metadata") or {}).get("revision"))
        if not is_ready(old) or last != (SUCCEEDED, work.revision) or "health" in work.memo:
            return "it is not ready"
        try:
            dependencies.require_ready(work.ref, work.obj, work.revision, self._dependency)
        except FleetbeatError as error:
            return error.message
        return ""

    def _dependency(self, ref: Ref) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
        name = str(ref)
        if name not in self._looks:  # a dependency's own dependency
            self._looks[name] = self._ctx.state.look(name)
        found = self._looks[name]
        return None if found is None else (msgspec.json.decode(found.obj), msgspec.json.decode(found.status or b"{}"))


def _work(ctx: Context, shard: str, fence: int, found: Look, memo: dict[str, Any]) -> KustomizationWork:
    return KustomizationWork(
        ctx=ctx,
        ref=Ref.parse(found.ref),
        shard=shard,
        fence=fence,
        why="requested",
        cluster=found.cluster,
        obj=msgspec.json.decode(found.obj),
        old=msgspec.json.decode(found.status or b"{}"),
        memo=memo,
        lease=Lease(ctx.state, shard, found.ref, fence),
    )


def _answer(work: KustomizationWork) -> Answer:
    """The build and the inventory are those of the last run."""
    work.resumed = {"digest": work.old["history"][0]["digest"]}
    if "inventory" in work.old:
        work.resumed["inventory"] = work.old["inventory"]
    outcome = succeed(work, f"0/{len(work.memo['fp'])} changed", health="healthy" in work.memo)
    return Answer(msgspec.json.encode(outcome.status), tuple(msgspec.json.encode(event) for event in work.events))
