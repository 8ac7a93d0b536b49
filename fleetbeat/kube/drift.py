"""Does a live object still say what we want, and if not, which field did who change. Names only, never values.

Compares the live object with the answer to a dry-run apply, so that defaults, conversions and admission count on
both sides alike. Pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fleetbeat.kube import managers
from fleetbeat.kube.fields import Path, contains, leaves, lookup, printed, union

Object = Mapping[str, Any]

MOST_NAMED = 10
"""Fields named in one report; the rest is counted."""
_COMPARED_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")


def find(
    live: Object,
    wanted: Object,
    overridden: Sequence[str] = (),
    *,
    merge: bool = False,
    innocent: Callable[[Path], bool] = lambda path: False,
) -> tuple[str, ...]:
    """What an apply would change in `live`, given `wanted`, the answer to its dry run; empty when nothing.

    merge: additions by kubectl are welcome (`ssa: Merge`). innocent: fields of which others have the say.
    """
    before = live["metadata"].get("managedFields") or []
    after = wanted["metadata"].get("managedFields") or []
    ours = managers.own_fields(before)
    if ours is None:
        named = ["metadata.managedFields: our ownership was removed"]
        return tuple([*named, *_plain(live, wanted)][:MOST_NAMED])
    intended = managers.own_fields(after) or {}
    lost = [path for path in leaves(intended) if not contains(ours, path) and not innocent(path)]
    named = [_lost(path, live, before) for path in lost]
    if not merge:
        named += list(_added(before, union(ours, intended), overridden, innocent))
        if managers.LAST_APPLIED in (live["metadata"].get("annotations") or {}):
            named.append(f"metadata.annotations[{managers.LAST_APPLIED}] added by kubectl")
        named = named or [
            f"co-owned by {entry['manager']}"
            for entry in before
            if managers.is_taken_over(entry, overridden) and not all(map(innocent, leaves(entry.get("fieldsV1") or {})))
        ]
    return _limited(dict.fromkeys(named)) if named else tuple(_plain(live, wanted)[:MOST_NAMED])


def _limited(named: Mapping[str, None]) -> tuple[str, ...]:
    lines = list(named)
    if len(lines) <= MOST_NAMED:
        return tuple(lines)
    return (*lines[:MOST_NAMED], f"and {len(lines) - MOST_NAMED} more fields")


def _lost(path: Path, live: Object, entries: Sequence[managers.Entry]) -> str:
    who = [
        entry.get("manager") or "unknown"
        for entry in entries
        if not managers.is_ours(entry) and contains(entry.get("fieldsV1") or {}, path)
    ]
    by = f" by {', '.join(dict.fromkeys(who))}" if who else ""
    there, _ = lookup(live, path)
    return f"{printed(path)} {'changed' if there else 'removed'}{by}"


def _added(
    entries: Sequence[managers.Entry],
    ours: Mapping[str, Any],
    overridden: Sequence[str],
    innocent: Callable[[Path], bool],
) -> Iterator[str]:
    for entry in entries:
        if managers.is_taken_over(entry, overridden):
            added = [path for path in leaves(entry.get("fieldsV1") or {}) if not contains(ours, path)]
            added = [path for path in added if not innocent(path)]
            yield from (f"{printed(path)} added by {entry['manager']}" for path in added)


def _plain(live: Object, wanted: Object) -> list[str]:
    """Differences by content alone, where ownership says nothing."""
    return [f"{path} changed" for path in dict.fromkeys(_differences(_content(live), _content(wanted), ""))]


def _content(obj: Object) -> dict[str, Any]:
    content = {key: value for key, value in obj.items() if key not in ("metadata", "status")}
    metadata = obj["metadata"]
    return {**content, "metadata": {key: metadata[key] for key in _COMPARED_METADATA if metadata.get(key)}}


def _differences(left: Any, right: Any, path: str) -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in left.keys() | right.keys():
            yield from _differences(left.get(key), right.get(key), f"{path}.{key}" if path else key)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif left != right:
        yield path
