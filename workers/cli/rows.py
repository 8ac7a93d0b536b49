"""One row per object: which columns a kind has, and what its cells say.

Owns the reading of status for people: revisions shortened, conditions as words and colours, kinds that nothing
reconciles marked. Pure functions of the object's JSON. Must not do I/O or know the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from fleetbeat.api.kinds import Kind
from fleetbeat.settings import Settings
from workers.cli.table import Cell, Row
from workers.cli.terminal import Tone

Obj = dict[str, Any]

NOT_RECONCILED = "nothing reconciles this kind yet"
ELSEWHERE = "(not reconciled by Fleetbeat)"
WAITING = "waiting to be reconciled"
STATIC = "a registry: HelmCharts read it themselves"

_HASH = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b")


class Column(NamedTuple):
    """A header and how an object fills it."""

    header: str
    cell: Callable[[Kind, Obj], Cell]


def shorten(text: str) -> str:
    """Commit and content hashes cut to eight digits: `main@sha1:0123abcd`."""
    return _HASH.sub(lambda match: match[0][:8], text)


def one_line(text: str) -> str:
    """A message without line breaks and runs of blanks."""
    return " ".join(text.split())


def condition(obj: Obj, kind: str) -> Obj:
    """The condition of that type, {} when it is absent."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})


def is_owned(kind: Kind) -> bool:
    """Whether Fleetbeat reconciles the kind (`FLEETBEAT_OWNED_KINDS`)."""
    return kind.name in _owned_kinds()


def is_ours(kind: Kind, obj: Obj) -> bool:
    """Whether Fleetbeat keeps the object: because of its kind or, an ExternalArtifact, because of what makes it."""
    maker = (obj.get("spec") or {}).get("sourceRef") if kind.name == "ExternalArtifact" else None
    return (maker["kind"] if maker else kind.name) in _owned_kinds()


def is_static(kind: Kind, obj: Obj) -> bool:
    """Whether nothing is ever done for the object itself: a HelmRepository of type oci is always ready."""
    return kind.name == "HelmRepository" and (obj.get("spec") or {}).get("type") == "oci"


@cache
def _owned_kinds() -> frozenset[str]:
    return frozenset(Settings.from_env().owned_kinds)


def age(timestamp: str, now: datetime | None = None) -> str:
    """How long ago an RFC 3339 time was, in one unit: `4s`, `12m`, `5h`, `3d`; "" when it is absent or malformed."""
    try:
        then = datetime.fromisoformat(timestamp)
    except ValueError:
        return ""
    return brief(((now or datetime.now(UTC)) - then).total_seconds())


def clock(timestamp: str) -> str:
    """The local time of day of an RFC 3339 time: `14:03:10`; "" when it is absent or malformed."""
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return ""


def brief(seconds: float) -> str:
    """A length of time for people, in at most two units: `0s`, `45s`, `12m`, `1h20m`, `30h`, `3d`."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 120:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 10 and minutes:
        return f"{hours}h{minutes}m"
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"


def headers(columns: Sequence[Column]) -> list[str]:
    """The header line."""
    return [column.header for column in columns]


def row(columns: Sequence[Column], kind: Kind, obj: Obj) -> Row:
    """The cells of one object."""
    return [column.cell(kind, obj) for column in columns]


def columns_of(kind: Kind, *, namespaced: bool = False, prefixed: bool = False, wide: bool = False) -> list[Column]:
    """The columns of a kind: flux's, and by option NAMESPACE, prefixed names, and AGE, INTERVAL, SOURCE (`wide`)."""
    first = [_NAMESPACE] if namespaced else []
    name = _PREFIXED_NAME if prefixed else _NAME
    return [*first, name, *_MIDDLE.get(kind.name, _REVISION_FIRST), *(_WIDE if wide else ()), _MESSAGE]


def _name(_: Kind, obj: Obj) -> Cell:
    tone = Tone.DIM if obj["metadata"].get("deletionTimestamp") else Tone.PLAIN
    return Cell(obj["metadata"]["name"], tone)


def _prefixed_name(kind: Kind, obj: Obj) -> Cell:
    plain = _name(kind, obj)
    return Cell(f"{kind.singular}/{plain.text}", plain.tone)


def _ready(kind: Kind, obj: Obj) -> Cell:
    ready = condition(obj, "Ready")
    if is_static(kind, obj):
        return Cell("True", Tone.GOOD)
    if not ready:
        return Cell("Unknown", Tone.WAIT) if is_owned(kind) else Cell("–", Tone.DIM)
    return Cell(ready["status"], ready_tone(ready["status"]))


def ready_tone(status: str) -> Tone:
    """The colour of a condition's status."""
    return {"True": Tone.GOOD, "False": Tone.BAD}.get(status, Tone.WAIT)


def _message(kind: Kind, obj: Obj) -> Cell:
    ready = condition(obj, "Ready")
    message = shorten(one_line(ready.get("message", "")))
    if obj["metadata"].get("deletionTimestamp"):
        return Cell(f"being deleted: {message}" if ready.get("status") == "False" else "being deleted", Tone.DIM)
    if is_static(kind, obj):
        return Cell(STATIC)
    if is_ours(kind, obj):
        return Cell(message) if ready else Cell(WAITING)
    return Cell(f"{message} {ELSEWHERE}") if ready else Cell(NOT_RECONCILED, Tone.DIM)


def _suspended(_: Kind, obj: Obj) -> Cell:
    return Cell("True", Tone.WAIT) if (obj.get("spec") or {}).get("suspend") else Cell("False")


def revision(kind: str, obj: Obj) -> str:
    """The revision that an object of that kind stands at, whole; "" when it has none."""
    return str(_REVISION_OF.get(kind, _artifact_revision)(obj.get("status") or {}) or "")


def _revision(kind: Kind, obj: Obj) -> Cell:
    return Cell(shorten(revision(kind.name, obj)))


def _artifact_revision(status: Obj) -> Any:
    return (status.get("artifact") or {}).get("revision")


def _release_revision(status: Obj) -> Any:
    history = status.get("history") or [{}]
    return history[0].get("chartVersion") or status.get("lastAttemptedRevision")


_REVISION_OF: dict[str, Callable[[Obj], Any]] = {
    "Kustomization": lambda status: status.get("lastAppliedRevision"),
    "HelmRelease": _release_revision,
}


def _path(*keys: str) -> Callable[[Kind, Obj], Cell]:
    def cell(_: Kind, obj: Obj) -> Cell:
        value: Any = obj
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return Cell("" if value is None else str(value))

    return cell


def _source(_: Kind, obj: Obj) -> Cell:
    spec = obj.get("spec") or {}
    source = spec.get("sourceRef") or spec.get("chartRef")
    if not source:
        return Cell(spec.get("url") or spec.get("endpoint") or spec.get("image") or "")
    path = spec.get("path", "")
    return Cell(f"{source.get('kind')}/{source.get('name')}" + (f" {path}" if path else ""))


_NAMESPACE = Column("NAMESPACE", _path("metadata", "namespace"))
_NAME = Column("NAME", _name)
_PREFIXED_NAME = Column("NAME", _prefixed_name)
_REVISION = Column("REVISION", _revision)
_SUSPENDED = Column("SUSPENDED", _suspended)
_READY = Column("READY", _ready)
_MESSAGE = Column("MESSAGE", _message)

_WIDE = (
    Column("AGE", lambda _, obj: Cell(age(obj["metadata"].get("creationTimestamp", "")))),
    Column("INTERVAL", _path("spec", "interval")),
    Column("SOURCE", _source),
)

_REVISION_FIRST = (_REVISION, _SUSPENDED, _READY)

_MIDDLE: dict[str, tuple[Column, ...]] = {
    "ExternalArtifact": (_REVISION, _READY),
    "ArtifactGenerator": (_SUSPENDED, _READY),
    "Receiver": (_SUSPENDED, _READY),
    "Provider": (_SUSPENDED, _READY),
    "Alert": (_SUSPENDED, _READY),
    "ImageRepository": (Column("LAST SCAN", _path("status", "lastScanResult", "scanTime")), _SUSPENDED, _READY),
    "ImagePolicy": (
        Column("IMAGE", _path("status", "latestRef", "name")),
        Column("TAG", _path("status", "latestRef", "tag")),
        _SUSPENDED,
        _READY,
    ),
    "ImageUpdateAutomation": (Column("LAST RUN", _path("status", "lastAutomationRunTime")), _SUSPENDED, _READY),
}
"""What stands between NAME and MESSAGE, where it is not REVISION, SUSPENDED and READY."""
