"""ConfigMaps and Secrets on the hub: a change of one wakes whoever refers to it. Metadata only, no contents."""

from __future__ import annotations

import asyncio
import logging

from fleetbeat.hub.interest import Interest
from fleetbeat.hub.reminder import Reminder
from fleetbeat.kube.errors import KubeError
from fleetbeat.kube.metadata import Partial
from fleetbeat.kube.watch import WatchEvent
from fleetbeat.state import State

log = logging.getLogger(__name__)

PATHS = {"ConfigMap": "/api/v1/configmaps", "Secret": "/api/v1/secrets"}
COLLECT = 0.05
"""Seconds for which changes are collected; who writes a ConfigMap every second should not cost more than that."""


class Pokes:
    """Collects changed targets and pokes their referrers, from one place."""

    def __init__(self, state: State, interest: Interest) -> None:
        self._state = state
        self._interest = interest
        self._changed: dict[str, None] = {}
        self._stirred = asyncio.Event()

    def add(self, target: str) -> None:
        """`Kind/namespace/name` changed; nothing happens unless somebody refers to it."""
        if target in self._interest:
            self.stir(target)

    def stir(self, target: str) -> None:
        """The same for a target whose referrers are not counted."""
        self._changed[target] = None
        self._stirred.set()

    async def run(self) -> None:
        """Poke for ever; raises Rebuilding or StateUnavailable."""
        while True:
            await self._stirred.wait()
            await asyncio.sleep(COLLECT)
            self._stirred.clear()
            changed, self._changed = list(self._changed), {}
            await asyncio.to_thread(self._poke, changed)

    def _poke(self, targets: list[str]) -> None:
        for target in targets:
            kind, _, name = target.partition("/")
            self._state.poke_dependents(target, f"{kind} {name} changed", urgent=True)


class ConfigKind:
    """The callbacks of the ConfigMaps' or the Secrets' watch."""

    def __init__(self, kind: str, pokes: Pokes) -> None:
        self.kind = kind
        self._pokes = pokes
        self._reminder = Reminder(log)
        self._versions: dict[str, str] | None = None
        """target → uid and resourceVersion as last seen; None before the first list, which is news to nobody."""

    async def on_list(self, items: list[Partial]) -> None:
        """Everything there is; what differs from before changed while nobody watched."""
        self._reminder.over()
        before, now = self._versions, {self._target(item): _version(item) for item in items}
        self._versions = now
        if before is not None:
            for target in before.keys() | now.keys():
                if before.get(target) != now.get(target):
                    self._pokes.add(target)

    async def on_event(self, event: WatchEvent) -> None:
        """One change."""
        target = self._target(event.object)
        versions = self._versions if self._versions is not None else {}
        if event.type == "DELETED":
            versions.pop(target, None)
        elif versions.get(target) == _version(event.object):
            return
        else:
            versions[target] = _version(event.object)
        self._pokes.add(target)

    def on_error(self, error: KubeError) -> None:
        """A request failed; until one succeeds, referrers learn of changes at their interval only."""
        self._reminder.warn(f"{self.kind} objects cannot be watched for now: {error.message}")

    def _target(self, item: Partial) -> str:
        return f"{self.kind}/{item.metadata.namespace}/{item.metadata.name}"


def _version(item: Partial) -> str:
    return f"{item.metadata.uid}@{item.metadata.resource_version}"
