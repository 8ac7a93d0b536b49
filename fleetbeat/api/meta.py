"""What the fields of all kinds are made of: names, durations, conditions, artifacts, references to other objects.

Owns the base class of every Struct of the API (`Part`: frozen, wire names in Kubernetes' camel case) and the scalar
types that carry their own validation. Must not know any kind. A field's docstring becomes its description in the CRD.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import msgspec
from msgspec import Meta

from fleetbeat.errors import InvalidSpec

REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"
"""Annotation whose new value asks for a run now."""
FENCE_KEY = "fleetbeat.io/fence"
"""In `status.artifact.metadata`: which run made the artifact. It outlives Redis and orders artifacts of one source."""
LINKS_KEY = "fleetbeat.io/left-out-links"
"""In `status.artifact.metadata`: paths of symbolic links that are not in the artifact, one a line; the first few."""

_ACRONYMS = {"oidc": "OIDC", "url": "URL", "crds": "CRDs", "openapi": "OpenAPI"}


def wire_name(name: str) -> str:
    """The JSON name of a Struct field: `kube_config` → `kubeConfig`, `issuer_url` → `issuerURL`."""
    first, *rest = name.split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)


class Rule(NamedTuple):
    """A CEL expression over `self` that the API server checks, and what a user reads when it is false."""

    expression: str
    message: str


class Part(msgspec.Struct, frozen=True, rename=wire_name, omit_defaults=True):
    """Any object in a spec or status. A default other than an empty value is also the default in the schema."""

    rules: ClassVar[tuple[Rule, ...]] = ()
    """What the API server checks beyond types, patterns and required fields."""
    schema: ClassVar[dict[str, Any]] = {}
    """Further schema keywords of the object itself."""


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
_TOKEN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")

Duration = Annotated[str, Meta(pattern=_DURATION)]
"""Text such as `1h30m`; `parse_duration` makes seconds of it."""
ShortDuration = Annotated[str, Meta(pattern=r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$")]
"""A duration without hours: the timeout of one network operation."""
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339 in UTC, as Kubernetes writes it."""
Int64 = Annotated[int, Meta(extra_json_schema={"format": "int64"})]
Digest = Annotated[str, Meta(pattern=r"^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$")]
"""`sha256:<hex>`, or another algorithm."""
ObjectName = Annotated[str, Meta(min_length=1, max_length=253)]
NamespaceName = Annotated[str, Meta(min_length=1, max_length=63)]
DefaultsToFalse = Annotated[bool, Meta(extra_json_schema={"default": False})]
"""A flag whose default the API server writes into the object."""


def parse_duration(text: str) -> float:
    """`1h30m` → 5400.0 seconds; raises InvalidSpec on anything but numbers followed by ms, s, m or h."""
    if not re.fullmatch(_DURATION[1:-1], text):
        raise InvalidSpec(f"{text!r} is not a duration; write numbers with units, such as 1h30m, 90s or 500ms")
    return sum(float(number) * _UNITS[unit] for number, unit in _TOKEN.findall(text))


def format_duration(seconds: float) -> str:
    """5400.0 → `1h30m0s`, 0.25 → `250ms`: the form in which Flux's messages give durations; milliseconds are kept."""
    millis = round(seconds * 1000)
    if abs(millis) < 1000:
        return f"{millis}ms" if millis else "0s"
    sign = "-" if millis < 0 else ""
    minutes, rest = divmod(abs(millis), 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


class LocalRef(Part, frozen=True):
    """An object of a fixed kind in the same namespace."""

    name: str
    """Name of the referent."""


class NamespacedRef(Part, frozen=True):
    """An object of a fixed kind, by default in the same namespace."""

    name: str
    """Name of the referent."""
    namespace: str | None = None
    """Namespace of the referent; default own."""


class Condition(Part, frozen=True):
    """One aspect of an object's state."""

    type: Annotated[
        str,
        Meta(
            max_length=316,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
    ]
    """What the condition is about, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """One word for why it changed last."""
    message: Annotated[str, Meta(max_length=32768)]
    """The same for people."""
    last_transition_time: Time
    """When `status` changed last."""
    observed_generation: Annotated[int, Meta(ge=0, extra_json_schema={"format": "int64"})] | None = None
    """The generation that the condition speaks of."""


class Artifact(Part, frozen=True):
    """What a source run stored: an immutable archive, named by its digest."""

    path: str
    """Path below the store's root: kind, namespace, name, file."""
    url: str
    """Where a consumer may download it."""
    revision: str
    """What it was made from, such as `main@sha1:…`."""
    digest: Digest
    """Digest of the archive as stored."""
    last_update_time: Time
    """When it was stored."""
    size: Int64 | None = None
    """Bytes."""
    metadata: dict[str, str] = {}
    """Upstream facts, such as OCI annotations."""


class CommonMetadata(Part, frozen=True):
    """Labels and annotations for every object that is generated."""

    annotations: dict[str, str] = {}
    """Annotations to set; they win over those of the object."""
    labels: dict[str, str] = {}
    """Labels to set; they win over those of the object."""


class NamespaceSelector(Part, frozen=True):
    """Namespaces by their labels."""

    match_labels: dict[str, str] = {}
    """Labels that the namespace must carry; none selects every namespace."""


class AccessFrom(Part, frozen=True):
    """Other namespaces that may refer to the object."""

    namespace_selectors: tuple[NamespaceSelector, ...]
    """A namespace that fits any of them may."""


class InventoryEntry(Part, frozen=True):
    """One object that was applied."""

    id: str
    """`<namespace>_<name>_<group>_<kind>`."""
    v: str
    """API version without the group."""


class Inventory(Part, frozen=True):
    """What was applied."""

    entries: tuple[InventoryEntry, ...]
    """The objects."""


class Status(Part, frozen=True):
    """What the kinds report in common."""

    conditions: tuple[Condition, ...] = ()
    """Ready, and while they are true Reconciling and Stalled; others by kind."""
    last_handled_reconcile_at: str | None = None
    """The `reconcile.fluxcd.io/requestedAt` annotation as the last attempt found it."""
    observed_generation: Int64 = -1
    """Last generation that ended in success or in a failure that only a person can mend; -1 before."""


class Metadata(msgspec.Struct, frozen=True, rename=wire_name):
    """The part of ObjectMeta that Fleetbeat reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: str | None = None
