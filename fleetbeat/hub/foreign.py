"""What others reconcile and ours wait for: what its status says becomes known to our resources, by one watch a kind.

Of sources that is their artifact, of appliers (a HelmRelease in `spec.dependsOn`) whether they are ready. Owns the
callbacks of such a kind's watch. Kinds that are not installed, or may not be watched, hold nothing up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from time import monotonic
from typing import Any

import msgspec

from fleetbeat.api.kinds import APPLIERS, KINDS, Kind
from fleetbeat.api.refs import Ref
from fleetbeat.artifacts import record
from fleetbeat.artifacts.store import ArtifactStore, Source
from fleetbeat.hub.journal import Journal, Offer
from fleetbeat.hub.reminder import Reminder
from fleetbeat.kube.errors import Forbidden, KubeError, NotFound
from fleetbeat.kube.watch import WatchEvent

log = logging.getLogger(__name__)

SOURCES = ("GitRepository", "OCIRepository", "HelmRepository", "HelmChart", "Bucket", "ExternalArtifact")
"""Kinds with a `status.artifact`."""
OFFERED = ("ExternalArtifact",)
"""Of these, what nobody reconciles: whoever makes one writes its status."""
_KEPT = ("name", "namespace", "uid", "generation", "labels", "annotations", "deletionTimestamp")
_LEFT_OUT = ("values", "postRenderers")
"""Of a HelmRelease's spec: large, and no place for what a `readyExpr` asks."""
FORBIDDEN_FOR = 2.0
"""Seconds of 403 after which the others no longer wait for this kind's list."""
GONE_AFTER = 30.0
"""Seconds of 404 after which a kind that was listed counts as uninstalled, with all its artifacts."""
_TEXTS = ("path", "url", "revision", "digest")


def kinds_of_others(owned: Collection[str]) -> list[Kind]:
    """The kinds that this installation does not reconcile and uses: all sources, and appliers where it owns one."""
    used = (*SOURCES, *APPLIERS) if set(APPLIERS) & set(owned) else SOURCES
    return [KINDS[name] for name in used if name not in owned or name in OFFERED]


def offer_of(kind: Kind, obj: Mapping[str, Any], store: ArtifactStore) -> bytes | None:
    """The record of the artifact in an object's status, as consumers read it; None when there is none."""
    artifact = (obj.get("status") or {}).get("artifact")
    if not isinstance(artifact, dict) or not all(isinstance(artifact.get(field), str) for field in _TEXTS):
        return None
    meta = obj["metadata"]
    return record.encode(store, Source(kind.name, meta["namespace"], meta["name"], meta["uid"]), artifact)


def state_of(kind: Kind, obj: Mapping[str, Any]) -> bytes:
    """The record of an applier: what a dependent asks, and as `revision` what it is woken by when it moves."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    conditions = sorted(f"{c.get('type')}={c.get('status')} {c.get('reason')}" for c in status.get("conditions") or [])
    moves = (meta.get("generation"), status.get("observedGeneration"), conditions, status.get("lastAppliedRevision"))
    slim = {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {key: meta[key] for key in _KEPT if key in meta},
        "spec": {key: value for key, value in spec.items() if key not in _LEFT_OUT},
        "status": status,
    }
    return msgspec.json.encode({"revision": str(moves), "object": slim})


class ForeignKind:
    """The callbacks of one kind's watch."""

    def __init__(self, kind: Kind, journal: Journal, known: Iterable[str], store: ArtifactStore) -> None:
        """known: the refs of which the registry has an artifact. `store` only makes keys."""
        self.kind = kind
        self.listed = asyncio.Event()
        """Set when the registry need not wait for this kind: it was listed, or cannot be for now."""
        self._journal = journal
        self._store = store
        self._seen: dict[str, int | None] = {ref: None for ref in known if ref.startswith(f"{kind.name}/")}
        """ref → hash of what was offered last; None is not known."""
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
        for ref in self._seen.keys() - present:
            self._withdraw(ref)
        self.listed.set()

    async def on_event(self, event: WatchEvent) -> None:
        """One change."""
        self._recovered()
        if event.type == "DELETED":
            self._withdraw(self._ref(event.object))
        else:
            self._take(event.object)

    def on_error(self, error: KubeError) -> None:
        """A request failed; the watch goes on trying."""
        if not isinstance(error, (NotFound, Forbidden)):
            self._failing_since = None
            self._reminder.warn(f"{self.kind.name} objects cannot be watched for now: {error.message}")
            return
        now = monotonic()
        self._failing_since = self._failing_since or now
        absent = isinstance(error, NotFound)
        if absent or now - self._failing_since >= FORBIDDEN_FOR:
            self.listed.set()
        if not absent:
            self._reminder.warn(f"{self.kind.name} objects may not be watched, so nobody can use them: {error.message}")
        elif now - self._failing_since >= GONE_AFTER:
            for ref in list(self._seen):
                self._withdraw(ref)

    def _take(self, obj: Mapping[str, Any]) -> None:
        applier = self.kind.name in APPLIERS
        ref, offer = self._ref(obj), state_of(self.kind, obj) if applier else offer_of(self.kind, obj, self._store)
        if offer is None:
            self._withdraw(ref)
        elif self._seen.get(ref) != hash(offer):
            self._seen[ref] = hash(offer)
            self._journal.add(Offer(ref, offer))

    def _withdraw(self, ref: str) -> None:
        if ref in self._seen:
            del self._seen[ref]
            self._journal.add(Offer(ref, None))

    def _recovered(self) -> None:
        self._failing_since = None
        self._reminder.over()

    def _ref(self, obj: Mapping[str, Any]) -> str:
        meta = obj["metadata"]
        return str(Ref(self.kind.name, meta["namespace"], meta["name"]))
