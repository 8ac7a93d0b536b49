"""Sees what happens to managed objects on every cluster, and wakes their owners: drift at once, health as it changes.

Owns which clusters and kinds are watched, within a budget; clusters beyond it are swept instead. Any number of them
may run. It reads metadata only and writes nothing but pokes and the clusters' signs of life.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

from fleetbeat.api.refs import HUB
from fleetbeat.errors import FleetbeatError, Rebuilding
from fleetbeat.hub.clusterwatch import ClusterWatch
from fleetbeat.hub.inventory import Inventory
from fleetbeat.hub.memo import Kind
from fleetbeat.hub.reminder import Reminder
from fleetbeat.hub.sightings import Sightings
from fleetbeat.kube.access import DESCRIPTION_LASTS, open_cluster
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig, NotFound
from fleetbeat.kube.reach import Reach
from fleetbeat.state import State

log = logging.getLogger(__name__)

BUDGET = 1000
"""Watches of one observer; each is one connection, about 60 KiB here."""
SCAN_EVERY = 0.5
"""Seconds between looks whether runs left something new."""
SCAN_ANYWAY = 30.0
SCAN_SHARE = 10
"""A scan is followed by a pause of so many times its own length."""
MARK_EVERY = 5.0
"""Seconds between two signs of life of a watched cluster."""
RETRY = 1.0


async def run(config: ClusterConfig, state: State, default_account: str = "", budget: int = BUDGET) -> None:
    """Observe for ever; ends cleanly when cancelled. `config` is the hub's, which also says how others are reached.

    default_account: the service account of clusters that a ConfigMap describes without naming one.
    """
    client = KubeClient(config)
    try:
        await Observer(client, state, default_account, budget).work()
    finally:
        client.close()


class Observer:
    """One process's watches."""

    def __init__(self, hub: KubeClient, state: State, default_account: str, budget: int) -> None:
        self._hub = hub
        self._account = default_account
        self._state = state
        self._budget = budget
        self._inventory = Inventory(state)
        self._sightings = Sightings(state)
        self._clusters: dict[str, tuple[ClusterWatch, asyncio.Task[None]]] = {}
        self._reminder = Reminder(log)

    async def work(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._judge())
                group.create_task(self._mark())
                await self._scan(group)
        finally:
            self._clusters.clear()

    async def _judge(self) -> None:
        while True:
            await self._guarded(self._sightings.run())

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Redis away or rebuilding is waited out."""
        try:
            await work
        except Rebuilding:
            await asyncio.sleep(RETRY)
        except FleetbeatError as error:
            self._reminder.warn(f"observer: {error.message}")
            await asyncio.sleep(RETRY)

    async def _scan(self, group: asyncio.TaskGroup) -> None:
        stamp, scanned = b"", float("-inf")
        while True:
            pause = SCAN_EVERY
            try:
                latest = await asyncio.to_thread(self._inventory.stamp)
                if latest != stamp or monotonic() - scanned > SCAN_ANYWAY:
                    begun = monotonic()
                    self._watch(group, await asyncio.to_thread(self._inventory.kinds))
                    stamp, scanned = latest, monotonic()
                    pause = max(pause, SCAN_SHARE * (scanned - begun))
                self._reminder.over()
            except Rebuilding:
                pause = RETRY
            except FleetbeatError as error:
                self._reminder.warn(f"observer: {error.message}")
                pause = RETRY
            await asyncio.sleep(pause)

    def _watch(self, group: asyncio.TaskGroup, wanted: Mapping[str, set[Kind]]) -> None:
        """Set what each cluster's watches should be."""
        chosen = choose(wanted, self._budget)
        for cluster in chosen.keys() - self._clusters.keys():
            watch = self._cluster(cluster)
            self._clusters[cluster] = watch, group.create_task(watch.run())
        for cluster in self._clusters.keys() - chosen.keys():
            self._clusters.pop(cluster)[1].cancel()
        for cluster, kinds in chosen.items():
            self._clusters[cluster][0].wanted = kinds

    def _cluster(self, cluster: str) -> ClusterWatch:
        async def access() -> tuple[str, Callable[[], ClusterConfig]]:
            return await asyncio.to_thread(self._access, cluster)

        async def expected(kind: Kind) -> dict[str, str]:
            while True:
                try:
                    return await asyncio.to_thread(self._inventory.objects, cluster, kind)
                except FleetbeatError:
                    await asyncio.sleep(RETRY)

        async def returned() -> None:
            await self._guarded(asyncio.to_thread(self._wake_stranded, cluster))

        return ClusterWatch(cluster, access, self._sightings, expected, returned)

    def _wake_stranded(self, cluster: str) -> None:
        refs = self._inventory.stranded(cluster)
        if refs:
            log.info("cluster %s answers again: %d resources waited for it", cluster, len(refs))
            self._state.poke(refs, "the cluster answers again")

    def _access(self, cluster: str) -> tuple[str, Callable[[], ClusterConfig]]:
        if cluster == HUB:
            return "", lambda: self._hub.config
        reach = Reach.decode(cluster, self._state.cluster(cluster))
        if not reach.place:
            raise InvalidKubeconfig("nothing refers to its kubeconfig any more")
        try:
            holder = self._hub.get(reach.path)
        except NotFound as error:
            raise InvalidKubeconfig(f"{reach.place} of namespace {reach.namespace} not found") from error
        version = hashlib.sha256(json.dumps(holder.get("data"), sort_keys=True).encode()).hexdigest()
        if reach.config_map:
            version += f" {monotonic() // DESCRIPTION_LASTS:.0f}"
        return version, lambda: open_cluster(self._hub, reach, holder, self._account)

    async def _mark(self) -> None:
        while True:
            live = [cluster for cluster, (watch, _) in self._clusters.items() if watch.live]
            await self._guarded(asyncio.to_thread(self._state.mark_observed, live))
            await asyncio.sleep(MARK_EVERY)


def choose(wanted: Mapping[str, set[Kind]], budget: int) -> dict[str, frozenset[Kind]]:
    """Whole clusters only, the hub first and then those that cost least, as far as the budget goes."""
    chosen: dict[str, frozenset[Kind]] = {}
    left = budget
    for cluster in sorted(wanted, key=lambda name: (name != HUB, len(wanted[name]), name)):
        if len(wanted[cluster]) <= left:
            left -= len(wanted[cluster])
            chosen[cluster] = frozenset(wanted[cluster])
    return chosen
