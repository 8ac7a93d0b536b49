"""Tells the hub what runs found out: statuses onto custom resources, events beside them.

One process does it at a time, behind the role `reporter`. A change stays marked in Redis until it is written, so a
crash only repeats; for one ref nothing is written out of order. Decides nothing: what a status says is the run's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from time import monotonic
from typing import TypeVar

import msgspec

from fleetbeat.api.kinds import KINDS, OWNED_BY_DEFAULT, Kind
from fleetbeat.errors import FleetbeatError
from fleetbeat.hub.events import EventWriter
from fleetbeat.hub.role import HUB_PAUSE, Tenure, hold
from fleetbeat.hub.status import StatusWriter
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.state import CALM, Changed, State, StoredEvent

log = logging.getLogger(__name__)

ROLE = "reporter"
WRITERS = 8
"""Statuses written at the same time."""
EVENT_WRITERS = 4
REQUEST_SECONDS = 4.0
"""Timeout of one write; less than what `Tenure.safe` leaves."""
BLOCK_MS = 2000
"""How long one look at the changes waits for one."""
BATCH = 500
GATHER_SECONDS = 0.02
"""How long statuses gather for one look at them; nobody sees so little."""
GATHER_EVENTS_SECONDS = 0.1
"""The same of events, which nobody waits for."""
REREAD_SECONDS = 2.0
"""How often the marks are read from the start, for what a cursor may have missed."""
RETRY_SECONDS = (0.25, 10.0)
"""Pause before a failed write is tried again: the first, doubled up to the last."""

_CALM = msgspec.json.encode({CALM: True})[:-1]
"""How a calm status begins."""

T = TypeVar("T")


async def run(config: ClusterConfig, state: State, owned: Iterable[str] = OWNED_BY_DEFAULT) -> None:
    """Report for ever, whenever this process holds the role; ends cleanly when cancelled."""
    kinds = {name: KINDS[name] for name in owned}
    client = KubeClient(config, timeout=REQUEST_SECONDS, longest_break=HUB_PAUSE)
    try:
        await hold(state, ROLE, lambda tenure: Reporter(client, state, kinds, tenure).work())
    finally:
        client.close()


class Reporter:
    """One tenure of the role."""

    def __init__(self, client: KubeClient, state: State, kinds: Mapping[str, Kind], tenure: Tenure) -> None:
        self.state = state
        self.tenure = tenure
        self._statuses = StatusWriter(client, kinds)
        self._events = EventWriter(client, kinds)
        self._latest: dict[str, Changed] = {}
        """ref → what is to be written; a newer change replaces one that waits."""
        self._busy: dict[str, int] = {}
        """ref → seq that is being written, or whose write waits to be tried again."""
        self._failures: dict[str, int] = {}
        self._ready: asyncio.PriorityQueue[tuple[bool, int, str]] = asyncio.PriorityQueue()
        """(calm, seq, ref) of `_latest`: what somebody waits for first; one that was written already is passed over."""
        self._room = asyncio.Event()
        """Clear while so much waits to be written that no more is read."""
        self._room.set()
        self._stirred = asyncio.Event()
        """Set whenever Redis had something to tell, and at every look: there may be events."""
        self._threads = ThreadPoolExecutor(WRITERS + EVENT_WRITERS + 2, thread_name_prefix=ROLE)

    async def work(self) -> None:
        """Until cancelled, or Redis is away or starts a new epoch."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(WRITERS):
                    group.create_task(self._write_statuses())
                group.create_task(self._write_events())
                group.create_task(self._read_changes())
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    async def _read_changes(self) -> None:
        """The cursor skips what is at work already; it goes back to the start when there is nothing or now and then."""
        cursor, reread = 0, monotonic()
        while True:
            if not (self._latest or self._busy) or monotonic() - reread > REREAD_SECONDS:
                cursor, reread = 0, monotonic()
            found = await self._call(lambda after: self.state.changed(BATCH, BLOCK_MS, after=after), cursor)
            self._stirred.set()
            for change in found:
                cursor = max(cursor, change.seq)
                self._take(change)
            if found:
                await asyncio.sleep(GATHER_SECONDS)
            await self._room.wait()

    def _take(self, change: Changed) -> None:
        waiting = self._latest.get(change.ref)
        if change.seq <= max(waiting.seq if waiting else 0, self._busy.get(change.ref, 0)):
            return
        self._latest[change.ref] = change
        if len(self._latest) > BATCH:
            self._room.clear()
        if change.ref not in self._busy and (waiting is None or _is_calm(waiting) > _is_calm(change)):
            self._put(change)

    def _put(self, change: Changed) -> None:
        self._ready.put_nowait((_is_calm(change), change.seq, change.ref))

    async def _write_statuses(self) -> None:
        while True:
            _, _, ref = await self._ready.get()
            if ref not in self._latest or ref in self._busy:
                continue
            change = self._latest.pop(ref)
            if len(self._latest) <= BATCH:
                self._room.set()
            self._busy[ref] = change.seq
            try:
                await self._call(self._write, change)
            except FleetbeatError as error:
                self._again(change, error.message)
            except Exception as error:
                log.exception("%s: its status cannot be written", ref)
                self._again(change, type(error).__name__)
            else:
                self._done(ref)

    def _write(self, change: Changed) -> None:
        if not self.tenure.safe:
            raise TenureEnding
        self._statuses.write(change.ref, change.uid, change.status)
        self.state.ack([(change.shard, change.ref, change.seq)])

    def _done(self, ref: str) -> None:
        self._failures.pop(ref, None)
        self._busy.pop(ref, None)
        if ref in self._latest:
            self._put(self._latest[ref])

    def _again(self, change: Changed, problem: str) -> None:
        """The ref stays busy during its pause; a newer change that came meanwhile is written instead."""
        failures = self._failures[change.ref] = self._failures.get(change.ref, 0) + 1
        first, last = RETRY_SECONDS
        pause = min(first * 2 ** min(failures - 1, 10), last)
        log.warning("%s: its status is written again in %.1fs: %s", change.ref, pause, problem)
        self._latest.setdefault(change.ref, change)
        asyncio.get_running_loop().call_later(pause, self._resume, change.ref)

    def _resume(self, ref: str) -> None:
        self._busy.pop(ref, None)
        self._put(self._latest[ref])

    async def _write_events(self) -> None:
        """In order for each ref; the position moves when a whole batch is written."""
        while True:
            position = await self._call(self.state.position, ROLE)
            batch = await self._call(self.state.events_after, position)
            if not batch:
                self._stirred.clear()
                await self._stirred.wait()
                await asyncio.sleep(GATHER_EVENTS_SECONDS)
                continue
            lanes = [[entry for _, entry in lane] for _, lane in groupby(_by_lane(batch), key=lambda pair: pair[0])]
            try:
                await asyncio.gather(*(self._call(self._write_lane, lane) for lane in lanes))
            except FleetbeatError as error:
                log.warning("events are written again in %.0fs: %s", RETRY_SECONDS[1], error.message)
                await asyncio.sleep(RETRY_SECONDS[1])
                continue
            await self._call(self.state.advance, ROLE, batch[-1].id)

    def _write_lane(self, entries: list[StoredEvent]) -> None:
        for entry in entries:
            self._events.write(entry.data)


class TenureEnding(FleetbeatError):
    """The reporter's lease is about to end, so nothing new is written."""


def _is_calm(change: Changed) -> bool:
    return change.status.startswith(_CALM)


class _Named(msgspec.Struct):
    ref: str = ""


_decoder = msgspec.json.Decoder(_Named)


def _by_lane(batch: Iterable[StoredEvent]) -> list[tuple[int, StoredEvent]]:
    """Events with the number of the writer that they go to, in the stream's order within each."""
    return sorted(((_lane(entry.data), entry) for entry in batch), key=lambda pair: pair[0])


def _lane(data: bytes) -> int:
    try:
        return hash(_decoder.decode(data).ref) % EVENT_WRITERS
    except msgspec.MsgspecError:
        return 0
