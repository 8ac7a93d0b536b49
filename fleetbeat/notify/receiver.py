"""Receivers: the path of each, what makes one valid, and which resources a delivery means.

Pure: the registry is handed in as a function, and poking is the caller's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fleetbeat.api.notification import ReceiverResource, ReceiverSpec
from fleetbeat.api.refs import Ref
from fleetbeat.errors import FleetbeatError, InvalidSpec
from fleetbeat.notify.delivery import Delivery
from fleetbeat.notify.expressions import compile_filter, passes
from fleetbeat.notify.verification import CHECKS, unsupported

ANY = "*"

Find = Callable[[str, str, str], Iterable[Mapping[str, Any]]]
"""(kind, namespace, name or `*`) → the registered objects: `apiVersion`, `kind` and `metadata` are read."""


@dataclass(frozen=True)
class Selection:
    """Whom a delivery means."""

    refs: tuple[Ref, ...]
    problems: tuple[str, ...] = ()
    """Entries that could not be judged, each naming its field; the others count all the same."""


def webhook_path(token: str, name: str, namespace: str) -> str:
    """`/hook/<sha256 of token, name and namespace>`, as Flux computes it."""
    return f"/hook/{hashlib.sha256(f'{token}{name}{namespace}'.encode()).hexdigest()}"


def check_spec(spec: ReceiverSpec) -> None:
    """Raises InvalidSpec or InvalidExpression, naming the field, when no delivery could ever be handled."""
    if spec.type not in CHECKS:
        raise unsupported(spec.type)
    if spec.resource_filter:
        compile_filter(spec.resource_filter, "spec.resourceFilter")
    for number, entry in enumerate(spec.resources):
        if entry.name == ANY and not entry.match_labels:
            raise InvalidSpec(f"spec.resources[{number}]: name '*' needs matchLabels")
        if entry.filter:
            compile_filter(entry.filter, f"spec.resources[{number}].filter")


def select(
    spec: ReceiverSpec, namespace: str, delivery: Delivery, find: Find, *, cross_namespace: bool = True
) -> Selection:
    """The resources that a verified delivery asks to reconcile, each once, in the spec's order.

    cross_namespace: False drops entries that name another namespace than the Receiver's.
    Raises WebhookRefused when a filter needs the body and it is not JSON.
    """
    filtered = bool(spec.resource_filter or any(entry.filter for entry in spec.resources))
    body = delivery.json() if filtered else None
    refs: dict[Ref, None] = {}
    problems: list[str] = []
    for number, entry in enumerate(spec.resources):
        try:
            refs.update(dict.fromkeys(_matching(spec, number, entry, namespace, body, find, cross_namespace)))
        except FleetbeatError as error:
            problems.append(error.message)
    return Selection(tuple(refs), tuple(problems))


def _matching(
    spec: ReceiverSpec,
    number: int,
    entry: ReceiverResource,
    own: str,
    body: Any,
    find: Find,
    cross_namespace: bool,
) -> list[Ref]:
    field = f"spec.resources[{number}]"
    namespace = entry.namespace or own
    if namespace != own and not cross_namespace:
        raise InvalidSpec(f"{field}: namespace {namespace} is not the Receiver's, which this installation refuses")
    if entry.name == ANY and not entry.match_labels:
        raise InvalidSpec(f"{field}: name '*' needs matchLabels")
    found = [obj for obj in find(entry.kind, namespace, entry.name) if entry.name != ANY or _labelled(obj, entry)]
    if not found and entry.name != ANY:
        raise InvalidSpec(f"{field}: {entry.kind}/{namespace}/{entry.name} is not registered")
    filters = [(spec.resource_filter, "spec.resourceFilter"), (entry.filter, f"{field}.filter")]
    return [Ref.of(obj) for obj in found if all(passes(text, name, _res(obj), body) for text, name in filters if text)]


def _labelled(obj: Mapping[str, Any], entry: ReceiverResource) -> bool:
    labels = obj["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in (entry.match_labels or {}).items())


def _res(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What a filter sees of a resource: its metadata, never its spec."""
    return {key: obj[key] for key in ("apiVersion", "kind", "metadata") if key in obj}
