"""`spec.ignore`: fields of which somebody else has the say once an object exists.

Where another manager applies an ignored field, we no longer ask for it; otherwise we ask for what is there, so that
neither our writes nor the clean-up of kubectl's ownership change it. A new object is created with everything.

Owns what is sent instead of the desired object, and which field paths do not count as drift. Pure functions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fleetbeat.api.appliers import IgnoreRule
from fleetbeat.errors import InvalidSpec
from fleetbeat.kube import managers
from fleetbeat.kube.fields import Path, leaves, pointer
from fleetbeat.kube.selectors import compile_selector

Object = Mapping[str, Any]
Pointer = tuple[str, ...]
"""An RFC 6901 pointer, split and unescaped."""

_IDENTITY = (("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "namespace"))


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled entry of `spec.ignore`."""

    pointers: tuple[Pointer, ...]
    selects: Callable[[Object], bool]


def compile_rules(entries: Iterable[IgnoreRule]) -> tuple[Rule, ...]:
    """The rules; raises InvalidSpec naming the entry and what is wrong with it."""
    return tuple(_rule(entry, f"spec.ignore[{number}]") for number, entry in enumerate(entries))


def _rule(entry: IgnoreRule, where: str) -> Rule:
    pointers = tuple(_split(text, f"{where}.paths") for text in entry.paths)
    return Rule(pointers, compile_selector(entry.target, f"{where}.target") if entry.target else lambda obj: True)


def _split(text: str, where: str) -> Pointer:
    if not text.startswith("/") or text == "/":
        raise InvalidSpec(f"{where}: {text[:100]!r} is no JSON pointer to a field; write it like /spec/replicas")
    parts = tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))
    if parts in _IDENTITY:
        raise InvalidSpec(f"{where}: {text} cannot be ignored, it says which object this is")
    return parts


def ignored_in(obj: Object, rules: Sequence[Rule]) -> tuple[Pointer, ...]:
    """The fields of a rendered object that are ignored, in the order of the rules."""
    if not rules:
        return ()
    found = (pointer for rule in rules if rule.selects(obj) for pointer in rule.pointers)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Around:
    """What to apply to one version of a live object, and where its ignored fields are in it."""

    body: bytes
    live: Object
    ignored: tuple[Pointer, ...]

    def covers(self, path: Path, wanted: Object) -> bool:
        """Whether a field, given by its managedFields path, is of no interest: it is or lies below an ignored one.

        Or it is an atomic value around one, and equal in `wanted`, the answer to a dry run of `body`.
        """
        at = pointer(self.live, path)
        if at is None:
            return False
        if any(at[: len(one)] == one for one in self.ignored):
            return True
        return any(one[: len(at)] == at for one in self.ignored) and _get(self.live, at) == _get(wanted, at)


def around(
    body: bytes, live: Object, ignored: Sequence[Pointer], labels: Mapping[str, str], overridden: Sequence[str] = ()
) -> Around:
    """What to apply instead of the desired `body`: refused by the API server once `live` has moved on.

    labels: what tells whose the object is; never ignored.
    """
    obj = orjson.loads(body)
    entries = live["metadata"].get("managedFields") or []
    places: list[Pointer] = []
    for one in ignored:
        place = _in_live(obj, live, entries, one)
        if place is None:
            continue  # an item of a list that is missing as a whole is made as it is desired
        places.append(place)
        there, value = _get(live, place)
        if not there or _applied_by_another(place, live, entries, overridden):
            _drop(obj, one)
        elif _get(obj, one)[0] or _will_be_ours(place, live, entries, overridden):
            _set(obj, one, copy.deepcopy(value))
    metadata = obj["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
    return Around(orjson.dumps(obj, option=orjson.OPT_SORT_KEYS), live, tuple(places))


def _in_live(desired: Any, live: Any, entries: Iterable[managers.Entry], one: Pointer) -> Pointer | None:
    """The same field in the live object, where items of a list may have another place: found by their keys."""
    trees = [entry.get("fieldsV1") or {} for entry in entries]
    place: list[str] = []
    for part in one:
        wanted, item = _get(desired, (part,))
        if isinstance(live, list) and isinstance(item, dict):
            elements = {key for tree in trees for key in tree if key.startswith("k:")}
            index = _index(live, item, elements) if elements else int(part)
            if index is None:
                return None
            step = str(index)
        else:
            step = part
        place.append(step)
        before = live
        desired, (_, live) = (item if wanted else None), _get(live, (step,))
        trees = [below for tree in trees for below in _below(tree, before, step)]
    return tuple(place)


def _index(live: list[Any], item: Mapping[str, Any], elements: Iterable[str]) -> int | None:
    """Where `item` is in a live list, by the keys that managedFields name."""
    names = {name for element in elements for name in orjson.loads(element[2:])}
    keys = {name: item[name] for name in names if name in item}
    same = (n for n, found in enumerate(live) if isinstance(found, dict) and keys.items() <= found.items())
    return next(same, None)


def _below(tree: Mapping[str, Any], obj: Any, step: str) -> list[Mapping[str, Any]]:
    """The subtrees of a field set that lie at `step` of `obj`."""
    return [below for key, below in tree.items() if key != "." and pointer(obj, (key,)) == (step,)]


def _applied_by_another(
    one: Pointer, live: Object, entries: Iterable[managers.Entry], overridden: Sequence[str]
) -> bool:
    return any(
        entry.get("operation") == "Apply"
        and not entry.get("subresource")
        and not managers.is_ours(entry)
        and not managers.is_taken_over(entry, overridden)
        and any(at[: len(one)] == one for at in _owned(entry, live))
        for entry in entries
    )


def _will_be_ours(one: Pointer, live: Object, entries: Iterable[managers.Entry], overridden: Sequence[str]) -> bool:
    """Whether an apply that does not name the field would remove it, or an atomic value around it would lose it."""
    return any(
        (managers.is_ours(entry) or managers.is_taken_over(entry, overridden))
        and any(at[: len(one)] == one or one[: len(at)] == at for at in _owned(entry, live))
        for entry in entries
    )


def _owned(entry: managers.Entry, live: Object) -> Iterator[Pointer]:
    found = (pointer(live, path) for path in leaves(entry.get("fieldsV1") or {}))
    return (at for at in found if at is not None)


def _get(obj: Any, one: Pointer) -> tuple[bool, Any]:
    for part in one:
        if isinstance(obj, Mapping) and part in obj:
            obj = obj[part]
        elif isinstance(obj, list) and part.isdecimal() and int(part) < len(obj):
            obj = obj[int(part)]
        else:
            return False, None
    return True, obj


def _drop(obj: Any, one: Pointer) -> None:
    there, parent = _get(obj, one[:-1])
    if isinstance(parent, dict):
        parent.pop(one[-1], None)
    elif there and isinstance(parent, list) and _get(parent, one[-1:])[0]:
        del parent[int(one[-1])]


def _set(obj: Any, one: Pointer, value: Any) -> None:
    """Sets a field whose parents are objects, made where they are missing, or items of lists that are there."""
    for part in one[:-1]:
        if isinstance(obj, dict):
            obj = obj.setdefault(part, {})
        else:
            there, obj = _get(obj, (part,))
            if not there:
                return
    if isinstance(obj, dict):
        obj[one[-1]] = value
    elif isinstance(obj, list) and _get(obj, one[-1:])[0]:
        obj[int(one[-1])] = value
