"""What the observer saw of managed objects, held against what their owners' last runs left: drift, or news on health.

Owns the decision to poke and its pace. An owner at work is left alone until its run ends, because its own writes are
what is seen then. Only objects in the owner's memo count, so nobody wakes an owner by labels alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from time import monotonic

from fleetbeat.hub.memo import Memo, object_of, read
from fleetbeat.state import State
from fleetbeat.state.reasons import health_reason
from fleetbeat.state.shards import shard_of

log = logging.getLogger(__name__)

COLLECT = 0.1
"""Seconds for which sightings are collected before they are judged."""
RECHECK = 0.25
"""Seconds between looks whether a run at work has ended."""
BATCH = 300
FREE = 30
"""Corrections of one object in close sequence that cost no pause: a person may edit that often, a controller more."""
CLOSE = 60.0
"""Seconds between two corrections that still count as one sequence."""
LONGEST_PAUSE = 300.0
REMEMBERED = 10_000
"""Corrections that are remembered before those that are over are dropped."""

Owner = tuple[str, str]
"""(cluster id, ref)."""


class Fights:
    """Objects that somebody else changes each time they are corrected: the corrections become rarer."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[int, float]] = {}

    def pause(self, ref: str, key: str) -> float | None:
        """Seconds until the object may be corrected; None when a correction is under way already."""
        now = monotonic()
        count, at = self._last.get((ref, key), (0, float("-inf")))
        if now < at:
            return None
        count = count + 1 if now - at < CLOSE else 1
        wait = 0.0 if count <= FREE else min(2.0 ** (count - FREE), LONGEST_PAUSE)
        if count == FREE + 1:
            log.warning("%s: %s is changed by somebody else at once whenever it is corrected", ref, object_of(key))
        if len(self._last) > REMEMBERED:
            self._last = {pair: seen for pair, seen in self._last.items() if now - seen[1] < CLOSE}
        self._last[ref, key] = (count, now + wait)
        return wait


class Sightings:
    """Collects what watches see and pokes owners. `see` on the event loop, judging in a thread."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._seen: dict[Owner, dict[str, str | None]] = {}
        """owner → `<inventory id>@<version>` → fingerprint as seen last, None for a deleted object."""
        self._stirred = asyncio.Event()
        self._fights = Fights()

    def see(self, cluster: str, ref: str, key: str, fingerprint: str | None) -> None:
        """An object of `ref` on `cluster` looks like this now."""
        self._seen.setdefault((cluster, ref), {})[key] = fingerprint
        self._stirred.set()

    async def run(self) -> None:
        """Judge for ever; what cannot be judged because Redis is away or rebuilding raises and is kept."""
        while True:
            if not self._seen:
                self._stirred.clear()
                await self._stirred.wait()
            await asyncio.sleep(COLLECT if self._stirred.is_set() else RECHECK)
            self._stirred.clear()
            for owners in _batches(list(self._seen)):
                await self._judge_batch(owners)

    async def _judge_batch(self, owners: Sequence[Owner]) -> None:
        taken = {owner: self._seen.pop(owner) for owner in owners}
        judged: set[Owner] = set()
        try:
            judged = await asyncio.to_thread(self._judge, taken)
        finally:
            for owner, objects in taken.items():
                if owner not in judged:  # newer sightings of the same objects win
                    self._seen[owner] = objects | self._seen.get(owner, {})

    def _judge(self, taken: Mapping[Owner, Mapping[str, str | None]]) -> set[Owner]:
        """Returns the owners that are done with; in this order, because a run writes its memo as it ends."""
        live = {ref for ref, phase in self._state.live([ref for _, ref in taken]).items() if phase != "sweep"}
        free = [owner for owner in taken if owner[1] not in live]
        memos = self._memos(free)
        for owner in free:
            memo = memos.get(owner)
            if memo is not None:
                self._poke(owner, memo, taken[owner])
        return set(free)

    def _memos(self, owners: Sequence[Owner]) -> dict[Owner, Memo]:
        shards: dict[str, list[Owner]] = {}
        for cluster, ref in owners:
            shards.setdefault(shard_of(ref.partition("/")[0], cluster), []).append((cluster, ref))
        found: dict[Owner, Memo] = {}
        for shard, members in shards.items():
            raw = self._state.memos(shard, [ref for _, ref in members])
            found.update({owner: memo for owner in members if (memo := read(raw[owner[1]])) is not None})
        return found

    def _poke(self, owner: Owner, memo: Memo, objects: Mapping[str, str | None]) -> None:
        cluster, ref = owner
        drifted = [key for key, fingerprint in objects.items() if _drifted(memo, key, fingerprint)]
        awaited = [key for key in objects if memo.awaits(key.rpartition("@")[0])]
        if not (drifted or awaited) or not self._lives_on(ref, cluster):
            return
        for key in drifted:
            pause = self._fights.pause(ref, key)
            if pause is not None:
                why = f"drift: {object_of(key)} {'is gone' if objects[key] is None else 'changed'}"
                self._state.poke([ref], why, urgent=True, delay_ms=int(pause * 1000))
        if awaited and not drifted:
            self._state.poke([ref], health_reason(f"{object_of(awaited[0])} changed"))

    def _lives_on(self, ref: str, cluster: str) -> bool:
        """Still there, not being deleted (its objects vanish then) and not moved to another cluster."""
        look = self._state.look(ref)
        return look is not None and look.cluster == cluster and b'"deletionTimestamp"' not in look.obj


def _drifted(memo: Memo, key: str, fingerprint: str | None) -> bool:
    """An object that the memo does not name, or has no fingerprint of, is the next run's to judge."""
    known = memo.fp.get(key)
    return bool(known) and known != fingerprint and key not in memo.noisy and key.rpartition("@")[0] not in memo.noisy


def _batches(owners: Sequence[Owner]) -> list[Sequence[Owner]]:
    """At most BATCH each."""
    return [owners[i : i + BATCH] for i in range(0, len(owners), BATCH)]
