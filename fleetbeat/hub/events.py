"""Writes what runs report as core/v1 Events beside the resource, as `kubectl events` and `flux events` read them.

Repeats raise the count of one Event instead of adding another. Owns the form of an Event; reads no Redis.
"""

from __future__ import annotations

import hashlib
import logging
import socket
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from fleetbeat.api.kinds import Kind
from fleetbeat.api.refs import Ref
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import Conflict, KubeError, NotFound, ServerError, TooManyRequests, Unreachable

log = logging.getLogger(__name__)

REMEMBERED = 4096
"""Events whose count is known without asking."""
LONGEST_MESSAGE = 39_000
"""Characters, as Flux's."""


class Happening(msgspec.Struct, frozen=True):
    """One entry of the stream of events."""

    ref: str
    uid: str
    reason: str
    message: str
    type: str = "Normal"
    metadata: dict[str, str] = {}
    time: str = ""


_decoder = msgspec.json.Decoder(Happening)


class EventWriter:
    """Writes Events to the hub. One thread per resource at a time."""

    def __init__(self, client: KubeClient, kinds: Mapping[str, Kind]) -> None:
        self.client = client
        self.kinds = kinds
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._instance = socket.gethostname()

    def write(self, entry: bytes) -> None:
        """Write one entry of the stream; what cannot be written is logged and dropped.

        Raises KubeError only when the API server is away or overloaded, so that the entry is tried again.
        """
        try:
            happening = _decoder.decode(entry)
            ref = Ref.parse(happening.ref)
        except (ValueError, msgspec.MsgspecError) as error:
            log.error("a malformed event is dropped: %s", error)
            return
        kind = self.kinds.get(ref.kind)
        if kind is None:
            return
        try:
            self._record(kind, ref, happening)
        except (Unreachable, ServerError, TooManyRequests):
            raise
        except KubeError as error:
            log.warning("%s: its event %s is dropped: %s", ref, happening.reason, error.message)

    def _record(self, kind: Kind, ref: Ref, happening: Happening) -> None:
        name = event_name(ref, happening)
        collection = f"/api/v1/namespaces/{ref.namespace}/events"
        known = self._counts.get(name, 0)
        if known and self._repeat(f"{collection}/{name}", happening, known + 1):
            self._counts[name] = known + 1
        else:
            self._counts[name] = self._create(collection, name, self._event(kind, ref, name, happening), happening)
        self._counts.move_to_end(name)
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)

    def _create(self, collection: str, name: str, event: dict[str, Any], happening: Happening) -> int:
        """Returns the Event's count."""
        try:
            self.client.create(collection, event)
        except Conflict:
            count = int(self.client.get(f"{collection}/{name}").get("count") or 1) + 1
            self._repeat(f"{collection}/{name}", happening, count)
            return count
        return 1

    def _repeat(self, path: str, happening: Happening, count: int) -> bool:
        """False when the Event has expired meanwhile. Its metadata is the last one's, as its time is."""
        again = {"count": count, "lastTimestamp": _time(happening), "metadata": {"annotations": happening.metadata}}
        try:
            self.client.patch(path, again)
        except NotFound:
            return False
        return True

    def _event(self, kind: Kind, ref: Ref, name: str, happening: Happening) -> dict[str, Any]:
        component, when = kind.controller, _time(happening)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": ref.namespace, "annotations": happening.metadata},
            "involvedObject": {
                "apiVersion": kind.api_version,
                "kind": kind.name,
                "namespace": ref.namespace,
                "name": ref.name,
                "uid": happening.uid,
            },
            "type": "Warning" if happening.type == "Warning" else "Normal",
            "reason": happening.reason,
            "message": happening.message[:LONGEST_MESSAGE],
            "source": {"component": component, "host": self._instance},
            "reportingComponent": component,
            "reportingInstance": self._instance,
            "firstTimestamp": when,
            "lastTimestamp": when,
            "count": 1,
        }


def event_name(ref: Ref, happening: Happening) -> str:
    """Equal happenings of one resource have one name, also after a restart: the API server then tells repeats."""
    parts = (happening.uid, happening.type, happening.reason, happening.message)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return f"{ref.name[:230]}.{digest}"


def _time(happening: Happening) -> str:
    return happening.time or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
