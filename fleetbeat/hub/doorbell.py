"""Finds the Receiver behind a webhook, believes or refuses the delivery, and wakes the resources that it means.

Blocking; the web server calls it in threads, `admit` before it answers and `ring` after. Tokens are read from the hub
for each delivery and kept nowhere.
"""

from __future__ import annotations

import base64
import hmac
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

import msgspec

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.notification import ReceiverSpec
from fleetbeat.api.refs import Ref
from fleetbeat.errors import InvalidSpec, Rebuilding, Retryable
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import NotFound
from fleetbeat.notify.delivery import Delivery
from fleetbeat.notify.receiver import ANY, Selection, select, webhook_path
from fleetbeat.notify.verification import verify
from fleetbeat.state import Look, State

log = logging.getLogger(__name__)

RESCAN = 1.0
"""Seconds between two readings of all Receivers that unknown paths may cause."""
RECEIVER = KINDS["Receiver"]


class UnknownPath(Retryable):
    """No Receiver listens here."""


class NotListening(Retryable):
    """The Receiver is suspended or not ready."""


@dataclass(frozen=True)
class Receiver:
    """A registered Receiver."""

    ref: Ref
    spec: ReceiverSpec
    path: str
    ready: bool

    @classmethod
    def of(cls, look: Look) -> Receiver | None:
        """None while it has no path yet, or a spec that its own run refuses."""
        status = msgspec.json.decode(look.status or b"{}")
        conditions = status.get("conditions") or []
        ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
        try:
            spec = decode_spec(RECEIVER, look.obj)
        except InvalidSpec:
            return None
        path = status.get("webhookPath")
        return cls(Ref.parse(look.ref), spec, path, ready) if path else None


class Doorbell:
    """Thread-safe."""

    def __init__(self, state: State, hub: KubeClient, *, cross_namespace: bool = True) -> None:
        self._state = state
        self._hub = hub
        self._cross_namespace = cross_namespace
        self._refs: dict[str, str] = {}
        """path → ref, as read last; looked at again for every delivery."""
        self._scanned = float("-inf")
        self._lock = threading.Lock()

    def admit(self, path: str, delivery: Delivery) -> Receiver:
        """The Receiver that this delivery may wake resources for.

        Raises UnknownPath, NotListening, WebhookRefused, Rebuilding, StateUnavailable or KubeError.
        """
        receiver = self._find(path)
        if receiver.spec.suspend:
            raise NotListening(f"{receiver.ref} is suspended")
        if not receiver.ready:
            raise NotListening(f"{receiver.ref} is not ready, see its status")
        token = self._token(receiver)
        expected = webhook_path(token, receiver.ref.name, receiver.ref.namespace)
        if not hmac.compare_digest(expected.encode(), path.encode()):
            raise UnknownPath  # the token was changed a moment ago
        verify(receiver.spec, token, delivery)
        return receiver

    def ring(self, receiver: Receiver, delivery: Delivery) -> Selection:
        """Poke everything that the delivery means; a poke of a resource that waits already adds nothing."""
        chosen = select(
            receiver.spec,
            receiver.ref.namespace,
            delivery,
            self._registered,
            cross_namespace=self._cross_namespace,
        )
        for problem in chosen.problems:
            log.warning("%s: %s", receiver.ref, problem)
        why = f"webhook {receiver.ref.namespace}/{receiver.ref.name}"
        poked = self._state.poke([str(ref) for ref in chosen.refs], why, urgent=True)
        log.info("%s: woke %d of %d resources", receiver.ref, poked, len(chosen.refs))
        return chosen

    def _find(self, path: str) -> Receiver:
        receiver = self._recall(path)
        if receiver is None and self._rescan():
            receiver = self._recall(path)
        if receiver is None:
            raise UnknownPath
        return receiver

    def _recall(self, path: str) -> Receiver | None:
        ref = self._refs.get(path)
        look = self._state.look(ref) if ref else None
        receiver = Receiver.of(look) if look else None
        return receiver if receiver is not None and receiver.path == path else None

    def _rescan(self) -> bool:
        with self._lock:
            if self._state.rebuilding():
                raise Rebuilding
            if monotonic() - self._scanned < RESCAN:
                return False
            found = (Receiver.of(look) for look in self._state.every(RECEIVER.name))
            self._refs = {receiver.path: str(receiver.ref) for receiver in found if receiver is not None}
            self._scanned = monotonic()
            return True

    def _token(self, receiver: Receiver) -> str:
        secret = receiver.spec.secret_ref
        if secret is None:
            raise NotListening(f"{receiver.ref} has no spec.secretRef")
        try:
            data = self._hub.get(f"/api/v1/namespaces/{receiver.ref.namespace}/secrets/{secret.name}").get("data") or {}
        except NotFound as error:
            raise NotListening(f"{receiver.ref}: its Secret does not exist") from error
        if "token" not in data:
            raise NotListening(f"{receiver.ref}: its Secret has no key 'token'")
        return base64.b64decode(data["token"]).decode("utf-8", "replace")

    def _registered(self, kind: str, namespace: str, name: str) -> Iterable[Mapping[str, Any]]:
        if name != ANY:
            refs = [str(Ref(kind, namespace, name))]
        else:
            refs = [ref for ref in self._state.known() if ref.startswith(f"{kind}/{namespace}/")]
        return [msgspec.json.decode(look.obj) for look in self._state.looks(refs).values()]
