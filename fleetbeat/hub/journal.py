"""What the registrar has seen, on its way into the registry: one writer, in the order in which it was seen, in batches.

Order is the point: a resource that was deleted and made anew must arrive as that, and never the other way round.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import groupby

from fleetbeat.api.kinds import APPLIERS
from fleetbeat.errors import Rebuilding, Retryable
from fleetbeat.state import Record, State

BATCH = 500


class HubWentBack(Retryable):
    """The hub's resources are older than the registry's: it was restored, so the registry is made anew."""


@dataclass(frozen=True, slots=True)
class Put:
    """A resource as it is now; `artifact` is what it published before, where its own run will not say so."""

    record: Record
    artifact: bytes | None = None


@dataclass(frozen=True, slots=True)
class Forget:
    """A resource that is gone."""

    ref: str
    uid: str


@dataclass(frozen=True, slots=True)
class Offer:
    """The artifact of a source that others reconcile; None: it has none."""

    ref: str
    artifact: bytes | None


@dataclass(frozen=True, slots=True)
class Tell:
    """Dependents of what was offered are to be poked: until the registry is committed, nobody can be."""


Entry = Put | Forget | Offer | Tell


class Journal:
    """Writes entries under the registrar's fence."""

    def __init__(self, state: State, fence: int) -> None:
        self._state = state
        self._fence = fence
        self._queue: asyncio.Queue[Entry] = asyncio.Queue()

    def add(self, entry: Entry) -> None:
        """Queue one entry."""
        self._queue.put_nowait(entry)

    async def flush(self) -> None:
        """Return when nothing is queued or being written."""
        await self._queue.join()

    async def run(self) -> None:
        """Write for ever; Rebuilding, LostLease, StateUnavailable or HubWentBack end the tenure."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await asyncio.to_thread(self._write, batch)
            for _ in batch:
                self._queue.task_done()

    def _write(self, batch: list[Entry]) -> None:
        for kind, entries in groupby(batch, key=type):
            if kind is Put:
                self._put([entry for entry in entries if isinstance(entry, Put)])
            else:
                for entry in entries:
                    self._write_one(entry)
        self._tell(set(map(type, batch)))

    def _write_one(self, entry: Entry) -> None:
        if isinstance(entry, Forget):
            self._state.forget(entry.ref, entry.uid, self._fence)
        elif isinstance(entry, Offer):
            self._state.offer(entry.ref, entry.artifact, self._fence)

    def _tell(self, kinds: set[type]) -> None:
        """What is offered is noted as untold in the same step, so that a registrar that dies here loses nothing."""
        if not kinds & {Offer, Tell}:
            return
        try:
            for source in self._state.untold():
                kind = source.partition("/")[0]
                # news of an applier are those of a dependency, of others those of an artifact
                why = f"dependency {source} changed" if kind in APPLIERS else f"{source} changed"
                self._state.poke_dependents(source, why, urgent=True)
                self._state.told([source], self._fence)
        except Rebuilding:
            return  # it is told when the epoch is committed

    def _put(self, puts: list[Put]) -> None:
        if self._state.register([put.record for put in puts], self._fence).refused:
            raise HubWentBack
        for put in puts:
            if put.artifact is not None:
                self._state.publish_artifact(put.record.ref, put.artifact, registrar=self._fence)
