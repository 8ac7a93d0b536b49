"""One owned kind as the hub shows it: what to register, what to forget, what lacks its finalizer first.

Sees lists and events in order and turns them into journal entries; sends nothing itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from fleetbeat.api.kinds import Kind
from fleetbeat.api.refs import Ref
from fleetbeat.artifacts.settings import StoreSettings
from fleetbeat.artifacts.store import ArtifactStore
from fleetbeat.hub.finalizers import Finalizers
from fleetbeat.hub.foreign import offer_of
from fleetbeat.hub.interest import Interest
from fleetbeat.hub.journal import Forget, Journal, Put
from fleetbeat.hub.records import is_static, record_of
from fleetbeat.hub.reminder import Reminder
from fleetbeat.kube.errors import Forbidden, KubeError, NotFound
from fleetbeat.kube.watch import WatchEvent

log = logging.getLogger(__name__)

ABSENT_AFTER = 2.0
"""Seconds of 404 or 403 after which the others no longer wait for this kind's list."""
GONE_AFTER = 30.0
"""Seconds of 404 after which a kind that was listed counts as uninstalled, with all its resources."""


class OwnedKind:
    """The callbacks of one kind's watch."""

    def __init__(
        self,
        kind: Kind,
        journal: Journal,
        finalizers: Finalizers,
        interest: Interest,
        known: Mapping[str, str],
        artifact_prefix: str = "",
        stirred: Callable[[str], None] = lambda ref: None,
    ) -> None:
        """known: ref → uid of what the registry has of this kind already; stirred: a static resource changed."""
        self.kind = kind
        self.listed = asyncio.Event()
        """Set when the registry need not wait for this kind: it was listed, or cannot be for now."""
        self._journal = journal
        self._finalizers = finalizers
        self._interest = interest
        self._known = dict(known)
        self._seen: dict[str, int] = {}
        """ref → hash of the object as journaled last; equal ones differ in their status only."""
        self._store = ArtifactStore(StoreSettings(bucket="", prefix=artifact_prefix))
        self._stirred = stirred
        self._failing_since: float | None = None
        self._reminder = Reminder(log)

    async def on_list(self, items: list[dict[str, Any]]) -> None:
        """Everything there is."""
        self._recovered()
        present = set()
        for number, obj in enumerate(items):
            present.add(self._ref(obj))
            self._take(obj)
            if number % 500 == 499:
                await asyncio.sleep(0)
        for ref in self._known.keys() - present:
            self._forget(ref)
        self.listed.set()

    async def on_event(self, event: WatchEvent) -> None:
        """One change."""
        self._recovered()
        if event.type == "DELETED":
            ref = self._ref(event.object)
            self._finalizers.drop(ref)
            if self._known.get(ref) == event.object["metadata"]["uid"]:
                self._forget(ref)
        else:
            self._take(event.object)

    def on_error(self, error: KubeError) -> None:
        """A request failed; the watch goes on trying."""
        now = monotonic()
        if not isinstance(error, (NotFound, Forbidden)):
            self._failing_since = None
            self._reminder.warn(f"{self.kind.name} objects cannot be watched for now: {error.message}")
            return
        self._failing_since = self._failing_since or now
        lasting = now - self._failing_since
        if lasting >= ABSENT_AFTER:
            self._reminder.warn(f"{self.kind.name} objects {self._why_absent(error)}")
            self.listed.set()
        if lasting >= GONE_AFTER and isinstance(error, NotFound):
            for ref in list(self._known):
                self._forget(ref)

    def _why_absent(self, error: KubeError) -> str:
        if isinstance(error, NotFound):
            return "are not installed on the hub (run `fleetbeat install`); looking again until they are"
        return f"may not be watched, give this account the right to: {error.message}"

    def _recovered(self) -> None:
        self._failing_since = None
        self._reminder.over()

    def _take(self, obj: Mapping[str, Any]) -> None:
        meta = obj["metadata"]
        ref, uid = self._ref(obj), meta["uid"]
        if self._known.get(ref, uid) != uid:
            self._forget(ref)
        self._finalizers.drop(ref)
        if self.kind.finalizer and self.kind.finalizer not in (meta.get("finalizers") or ()):
            if meta.get("deletionTimestamp") or is_static(self.kind, obj):
                self._leave(ref, obj)
                return
            self._finalizers.add(self.kind, ref, obj)
            if ref not in self._known:
                return
        self._put(ref, obj)

    def _leave(self, ref: str, obj: Mapping[str, Any]) -> None:
        """A resource that is none of ours (any more): nothing runs for it, but others may read its spec."""
        if ref in self._known:
            self._forget(ref)
        if self.listed.is_set() and is_static(self.kind, obj):
            self._stirred(ref)

    def _put(self, ref: str, obj: Mapping[str, Any]) -> None:
        record = record_of(self.kind, obj)
        digest = hash(record.obj)
        if self._seen.get(ref) == digest:
            return
        self._seen[ref] = digest
        self._known[ref] = record.uid
        self._interest.set(ref, record.targets)
        self._journal.add(Put(record, self._artifact(obj) if record.suspended else None))

    def _forget(self, ref: str) -> None:
        self._seen.pop(ref, None)
        self._interest.drop(ref)
        self._journal.add(Forget(ref, self._known.pop(ref)))

    def _artifact(self, obj: Mapping[str, Any]) -> bytes | None:
        """What a suspended source published last: no run of it will say so again."""
        return offer_of(self.kind, obj, self._store)

    def _ref(self, obj: Mapping[str, Any]) -> str:
        meta = obj["metadata"]
        return str(Ref(self.kind.name, meta["namespace"], meta["name"]))
