"""Field sets: the `fieldsV1` of a managedFields entry as a tree that can be joined, subtracted and printed.

A tree maps path elements (`f:spec`, `k:{"name":"app"}`, `v:"x"`) to trees; `.` marks that the element itself is owned.
Pure functions over decoded JSON. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

Tree = Mapping[str, Any]
Path = tuple[str, ...]


def union(left: Tree, right: Tree) -> dict[str, Any]:
    """Fields of either."""
    joined = dict(left)
    for key, below in right.items():
        joined[key] = union(joined[key], below) if key in joined else below
    return joined


def leaves(tree: Tree, above: Path = ()) -> Iterator[Path]:
    """The paths of all owned elements."""
    if not tree and above:
        yield above
    for key, below in tree.items():
        if key == ".":
            yield above
        else:
            yield from leaves(below, (*above, key))


def contains(tree: Tree, path: Path) -> bool:
    """True when `tree` owns `path` or something below it."""
    for key in path:
        if key not in tree:
            return False
        tree = tree[key]
    return True


def printed(path: Path) -> str:
    """`spec.template.spec.containers[name=app].image`, as a person writes it."""
    text = ""
    for element in path:
        text += _element(element)
    return text.removeprefix(".")


def _element(element: str) -> str:
    mark, _, rest = element.partition(":")
    if mark == "f":
        return f"[{rest}]" if "." in rest or "/" in rest else f".{rest}"
    if mark == "k":
        keys = orjson.loads(rest)
        return "[" + ",".join(f"{key}={value}" for key, value in keys.items()) + "]"
    return f"[{rest}]"


def lookup(obj: Any, path: Path) -> tuple[bool, Any]:
    """Whether `obj` has something at `path`, and what."""
    for element in path:
        found, obj = _step(obj, element)
        if not found:
            return False, None
    return True, obj


def pointer(obj: Any, path: Path) -> tuple[str, ...] | None:
    """The JSON pointer, in parts, of what is at `path` in `obj`; of a field that is not there, where it would be.

    None when it is in an item of a list that is not there.
    """
    parts: list[str] = []
    for element in path:
        mark, _, rest = element.partition(":")
        if mark == "f":
            parts.append(rest)
        else:
            index = _index(obj, element)
            if index is None:
                return None
            parts.append(str(index))
        _, obj = _step(obj, element)
    return tuple(parts)


def _index(items: Any, element: str) -> int | None:
    there, item = _step(items, element)
    if not there or not isinstance(items, list):
        return None
    mark, _, rest = element.partition(":")
    return int(rest) if mark == "i" else next((n for n, one in enumerate(items) if one == item), None)


def _step(obj: Any, element: str) -> tuple[bool, Any]:
    mark, _, rest = element.partition(":")
    if mark == "f":
        return (rest in obj, obj.get(rest)) if isinstance(obj, dict) else (False, None)
    if not isinstance(obj, list):
        return False, None
    if mark == "i":
        index = int(rest)
        return (index < len(obj), obj[index] if index < len(obj) else None)
    wanted = orjson.loads(rest)
    if mark == "v":
        return wanted in obj, wanted
    for item in obj:
        if isinstance(item, dict) and all(item.get(key) == value for key, value in wanted.items()):
            return True, item
    return False, None
