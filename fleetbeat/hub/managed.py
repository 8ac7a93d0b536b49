"""One kind of managed objects on one cluster: watched by label, metadata only, told as sightings of their owners."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from sys import intern

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.hub.memo import Kind
from fleetbeat.hub.sightings import Sightings
from fleetbeat.kube import marks
from fleetbeat.kube.discovery import Resource
from fleetbeat.kube.errors import KubeError
from fleetbeat.kube.metadata import Live, Partial
from fleetbeat.kube.watch import Session, Watch, WatchEvent

Expected = Callable[[Kind], Awaitable[dict[str, str]]]
"""kind → `<inventory id>@<version>` → ref, of everything that runs left on this cluster."""


class ManagedKind:
    """The callbacks of one watch, and the watch."""

    def __init__(
        self,
        cluster: str,
        kind: Kind,
        resource: Resource,
        http: Session,
        sightings: Sightings,
        expected: Expected,
        on_error: Callable[[KubeError], None],
    ) -> None:
        self.kind = kind
        self._cluster = cluster
        self._sightings = sightings
        self._expected = expected
        self._owners: dict[str, str] | None = None
        """key → ref of its owner; what a foreign hand may have taken off the object. None before the first list."""
        # What others applied is seen too; no memo knows of it, so it wakes nobody.
        self.watch = Watch(http, resource.path(), self.on_list, self.on_event, True, marks.OWNED, on_error)

    async def on_list(self, items: list[Partial]) -> None:
        """Everything there is; what is missing since the last list, or of what runs left, counts as deleted."""
        before = await self._expected(self.kind) | (self._owners or {})
        self._owners = {}
        present = set()
        for number, item in enumerate(items):
            present.add(self._see(item, before.get(self._key(item), "")))
            if number % 500 == 499:
                await asyncio.sleep(0)
        for key, ref in before.items():
            if key not in present:
                self._sightings.see(self._cluster, ref, key, None)

    async def on_event(self, event: WatchEvent) -> None:
        """One change; an object that lost our label leaves the watch, which looks like its deletion."""
        owners = self._owners if self._owners is not None else {}
        key = self._key(event.object)
        if event.type != "DELETED":
            self._see(event.object, owners.get(key, ""))
            return
        ref = owners.pop(key, "") or owner_of(event.object)
        if ref:
            self._sightings.see(self._cluster, ref, key, None)

    def _see(self, item: Partial, before: str) -> str:
        """Tells the owner by label and, where labels were changed, the one before."""
        key, ref = self._key(item), owner_of(item)
        seen = Live.of(item.metadata).fingerprint
        for owner in {ref, before} - {""}:
            self._sightings.see(self._cluster, owner, key, seen)
        if self._owners is not None and (ref or before):
            self._owners[key] = intern(ref or before)
        return key

    def _key(self, item: Partial) -> str:
        meta = item.metadata
        oid = ObjectId(self.kind.group, self.kind.kind, meta.namespace, meta.name)
        return f"{oid.inventory_id}@{self.kind.version}"


def owner_of(item: Partial) -> str:
    """The ref that the object's labels name, "" when they name none."""
    labels = item.metadata.labels
    name, namespace = labels.get(marks.NAME), labels.get(marks.NAMESPACE)
    return str(Ref("Kustomization", namespace, name)) if name and namespace else ""
