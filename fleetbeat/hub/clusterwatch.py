"""All watches on one cluster: opened for the kinds that are wanted, begun anew when the access to it changes.

Loss of its cluster stays in here: logged now and then, tried again with growing pauses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

from fleetbeat.errors import FleetbeatError
from fleetbeat.hub.managed import Expected, ManagedKind
from fleetbeat.hub.memo import Kind
from fleetbeat.hub.reminder import Reminder
from fleetbeat.hub.sightings import Sightings
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.discovery import Discovery
from fleetbeat.kube.errors import KubeError, Unauthorized, Unreachable
from fleetbeat.kube.watch import Session, session

log = logging.getLogger(__name__)

ADJUST_EVERY = 0.5
"""Seconds between looks at what is wanted."""
ACCESS_EVERY = 60.0
"""Seconds between looks whether the kubeconfig changed."""
RETRY_KIND = 10.0
"""Seconds until another look for a kind that the cluster does not serve."""
LINGER = 300.0
"""Seconds that a kind nobody wants is still watched: a registry being rebuilt wants nothing for a while."""
PAUSES = (1.0, 60.0)
REQUEST_SECONDS = 10.0

Access = Callable[[], Awaitable[tuple[str, Callable[[], ClusterConfig]]]]
"""Gives a text that changes with the access to the cluster, and what opens it; both raise FleetbeatError."""
Returned = Callable[[], Awaitable[None]]
"""Told when a cluster that could not be reached answers again."""


@dataclass(eq=False)
class _Running:
    managed: ManagedKind
    task: asyncio.Task[None]
    wanted_at: float


class ClusterWatch:
    """The watches of one cluster; `wanted` is set from outside."""

    def __init__(
        self,
        cluster: str,
        access: Access,
        sightings: Sightings,
        expected: Expected,
        returned: Returned,
    ) -> None:
        self.cluster = cluster
        self.wanted: frozenset[Kind] = frozenset()
        self._access = access
        self._sightings = sightings
        self._expected = expected
        self._returned = returned
        self._running: dict[Kind, _Running] = {}
        self._refused: dict[Kind, float] = {}
        """kind → when to look for it again."""
        self._suspicious = False
        """True after a 401: the access may have changed."""
        self._lost_at: float | None = None
        """When the cluster, or the hub with its kubeconfig, gave no answer last; None once it is back."""
        self._reminder = Reminder(log)

    @property
    def live(self) -> bool:
        """True while every wanted kind (one at least) is watched and nothing can have been missed."""
        running = (self._running.get(kind) for kind in self.wanted)
        return bool(self.wanted) and all(found is not None and found.managed.watch.live for found in running)

    async def run(self) -> None:
        """Watch until cancelled."""
        pause, last = PAUSES
        while True:
            begun = monotonic()
            try:
                version, opened = await self._access()
                async with session(await asyncio.to_thread(opened)) as http:
                    await self._keep(http, version)
            except FleetbeatError as error:
                self._lost_at = monotonic()
                self._reminder.warn(f"cluster {self.cluster} cannot be watched: {error.message}")
            except Exception:  # whatever one cluster, or the access to it, does must not end the watches on others
                self._lost_at = monotonic()
                log.exception("watching cluster %s failed unexpectedly", self.cluster)
            if monotonic() - begun > last:
                pause = PAUSES[0]
            await asyncio.sleep(pause)
            pause = min(pause * 2, last)

    async def _keep(self, http: Session, version: str) -> None:
        """Until the access changes."""
        client = KubeClient(http.config, timeout=REQUEST_SECONDS, pool_size=1)
        discovery = Discovery(client)
        checked = monotonic()
        self._refused.clear()
        try:
            while True:
                await self._adjust(http, discovery)
                await self._welcome()
                if self._suspicious or monotonic() - checked > ACCESS_EVERY:
                    self._suspicious, checked = False, monotonic()
                    if (await self._access())[0] != version:
                        return
                await asyncio.sleep(ADJUST_EVERY)
        finally:
            client.close()
            await self._end(list(self._running))

    async def _welcome(self) -> None:
        """After a loss: once a watch has heard from the cluster, whoever could not run is told."""
        lost = self._lost_at
        if lost is not None and any(running.managed.watch.last_seen > lost for running in self._running.values()):
            self._lost_at = None
            await self._returned()

    async def _adjust(self, http: Session, discovery: Discovery) -> None:
        now = monotonic()
        for kind in self.wanted:
            running = self._running.get(kind)
            if running is not None:
                running.wanted_at = now
            elif now >= self._refused.get(kind, 0.0):
                await self._begin(http, discovery, kind)
        unwanted = [kind for kind, running in self._running.items() if now - running.wanted_at > LINGER]
        await self._end([*unwanted, *(kind for kind, running in self._running.items() if running.task.done())])

    async def _begin(self, http: Session, discovery: Discovery, kind: Kind) -> None:
        try:
            resource = await asyncio.to_thread(discovery.resource, *kind)
        except KubeError as error:
            self._refused[kind] = monotonic() + RETRY_KIND
            self._note_loss(error)
            self._reminder.warn(f"{kind.kind} objects on cluster {self.cluster} are not watched: {error.message}")
            return
        managed = ManagedKind(self.cluster, kind, resource, http, self._sightings, self._expected, self._failed)
        task = asyncio.create_task(managed.watch.run())
        self._running[kind] = _Running(managed, task, monotonic())

    async def _end(self, kinds: list[Kind]) -> None:
        ended = [self._running.pop(kind) for kind in dict.fromkeys(kinds)]
        for running in ended:
            running.task.cancel()
        for result in await asyncio.gather(*(running.task for running in ended), return_exceptions=True):
            if isinstance(result, Exception):
                log.error("a watch on cluster %s failed and begins again", self.cluster, exc_info=result)

    def _note_loss(self, error: KubeError) -> None:
        if isinstance(error, Unreachable):
            self._lost_at = monotonic()

    def _failed(self, error: KubeError) -> None:
        self._suspicious = self._suspicious or isinstance(error, Unauthorized)
        self._note_loss(error)
        self._reminder.warn(f"a watch on cluster {self.cluster} failed: {error.message}")
