"""Writes one resource's status, or takes our finalizer off it, exactly when the live object is the one that was meant.

Every write names the uid, so a status of a deleted resource never lands on its successor. No Redis here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from fleetbeat.api.kinds import Kind
from fleetbeat.api.refs import Ref
from fleetbeat.kube.client import JSON_PATCH, PARTIAL, KubeClient
from fleetbeat.kube.errors import Conflict, Invalid, NotFound

log = logging.getLogger(__name__)

FINALIZED = "$finalized"
"""Key of a status that means: nothing keeps the resource from going away."""
RELEASED = "$released"
"""Key of a status that means: the resource is none that is reconciled any more; our traces are taken off it."""
TRIES = 5
"""A finalizer list that others change at the same moment is read again this often."""


class StatusWriter:
    """Writes statuses of the owned kinds to the hub. Thread-safe."""

    def __init__(self, client: KubeClient, kinds: Mapping[str, Kind]) -> None:
        self.client = client
        self.kinds = kinds

    def write(self, ref: str, uid: str, status: bytes) -> bool:
        """Bring the live object to `status`; False when there is nobody to tell (gone, replaced, refused for good).

        Raises KubeError when another try makes sense.
        """
        try:
            name = Ref.parse(ref)
            fields = msgspec.json.decode(status)
        except ValueError as error:
            log.error("%s: its status in the registry is malformed and is dropped: %s", ref, error)
            return False
        kind = self.kinds.get(name.kind)
        if kind is None or not isinstance(fields, dict):
            return False
        if fields.get(FINALIZED):
            return self._finalize(kind, name, uid)
        if fields.get(RELEASED):
            return self._replace(kind, name, uid, {}) and self._finalize(kind, name, uid, deleting=False)
        return self._replace(kind, name, uid, {key: value for key, value in fields.items() if not key.startswith("$")})

    def _replace(self, kind: Kind, ref: Ref, uid: str, status: dict[str, Any]) -> bool:
        """Only a JSON patch's `test` holds the status subresource to a uid: a uid in a merge patch is ignored there."""
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        path = kind.path(ref.namespace, ref.name, "status")
        try:
            self.client.patch(path, patch, JSON_PATCH, {"fieldManager": f"gotk-{kind.controller}"}, PARTIAL)
        except NotFound:
            return False
        except Invalid as error:
            live = self._read(kind, ref)
            if live is not None and live["metadata"]["uid"] == uid:
                log.error("%s: the API server refuses its status, which is dropped: %s", ref, error.message)
            return False
        return True

    def _finalize(self, kind: Kind, ref: Ref, uid: str, *, deleting: bool = True) -> bool:
        """Take our finalizer off, by default only of a resource that is being deleted."""
        for _ in range(TRIES):
            live = self._read(kind, ref)
            if live is None or live["metadata"]["uid"] != uid:
                return False
            meta = live["metadata"]
            finalizers = meta.get("finalizers") or []
            if kind.finalizer not in finalizers or (deleting and not meta.get("deletionTimestamp")):
                return False
            try:
                self._drop_finalizer(kind, ref, meta, [f for f in finalizers if f != kind.finalizer])
            except NotFound:
                return False
            except Conflict:
                continue
            return True
        raise Conflict(f"{ref}: its finalizers are changed all the time by somebody else")

    def _drop_finalizer(self, kind: Kind, ref: Ref, meta: Mapping[str, Any], rest: list[str]) -> None:
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {"op": "replace", "path": "/metadata/finalizers", "value": rest},
        ]
        self.client.patch(
            kind.path(ref.namespace, ref.name), patch, JSON_PATCH, {"fieldManager": f"gotk-{kind.controller}"}, PARTIAL
        )

    def _read(self, kind: Kind, ref: Ref) -> dict[str, Any] | None:
        try:
            return self.client.get(kind.path(ref.namespace, ref.name))
        except NotFound:
            return None
