"""Whether a webhook comes from who the Receiver expects: one function a type, all in constant time.

Reads nothing but the delivery; a refusal says which header is wrong, never what it should have been.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping

from fleetbeat.api.notification import ReceiverSpec
from fleetbeat.errors import InvalidSpec
from fleetbeat.notify.delivery import MAX_BODY, Delivery, WebhookRefused

ALGORITHMS = ("sha1", "sha256", "sha512")


def verify(spec: ReceiverSpec, token: str, delivery: Delivery) -> None:
    """Return when the delivery may be acted upon.

    Raises WebhookRefused (a wrong signature, an event that `spec.events` does not list, a body beyond 3 MiB) or
    InvalidSpec for a type that is not supported yet.
    """
    if len(delivery.body) > MAX_BODY:
        raise WebhookRefused(f"the body is larger than {MAX_BODY} bytes")
    check = CHECKS.get(spec.type)
    if check is None:
        raise unsupported(spec.type)
    if not token and spec.type != "generic":
        raise WebhookRefused("the Receiver's token is empty, so no signature can be believed")
    check(spec, token, delivery)


def unsupported(kind: str) -> InvalidSpec:
    """The error for a Receiver type that nothing here can verify."""
    return InvalidSpec(f"spec.type: '{kind}' is not supported yet; use one of {', '.join(CHECKS)}")


def _generic(spec: ReceiverSpec, token: str, delivery: Delivery) -> None:
    """The path is the secret."""


def _generic_hmac(spec: ReceiverSpec, token: str, delivery: Delivery) -> None:
    _require_signature(token, delivery, "X-Signature")


def _github(spec: ReceiverSpec, token: str, delivery: Delivery) -> None:
    name = "X-Hub-Signature-256" if delivery.header("X-Hub-Signature-256") else "X-Hub-Signature"
    _require_signature(token, delivery, name)
    event = delivery.header("X-GitHub-Event")
    if spec.events and event.lower() not in {allowed.lower() for allowed in spec.events}:
        raise WebhookRefused(f"the event '{event[:64]}' is not in spec.events of the Receiver")


def _require_signature(token: str, delivery: Delivery, header: str) -> None:
    algorithm, sep, given = delivery.header(header).strip().partition("=")
    if not sep or algorithm not in ALGORITHMS:
        raise WebhookRefused(f"the header {header} must be <{'|'.join(ALGORITHMS)}>=<hex>")
    expected = hmac.new(token.encode(), delivery.body, getattr(hashlib, algorithm)).hexdigest()
    if not hmac.compare_digest(expected.encode(), given.strip().lower().encode()):
        raise WebhookRefused(f"the signature in {header} does not fit the Receiver's token")


CHECKS: Mapping[str, Callable[[ReceiverSpec, str, Delivery], None]] = {
    "generic": _generic,
    "generic-hmac": _generic_hmac,
    "github": _github,
}
"""Receiver type → its check."""
