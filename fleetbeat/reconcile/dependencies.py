"""`spec.dependsOn`: which dependency is not ready yet, and whether the wait can ever end.

A `readyExpr` replaces the built-in question, as with Flux.

Reads the registry only. A ref that waits is poked when its dependency's run finishes; the due-set holds no poll for it
beyond its retry interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fleetbeat.api import cel
from fleetbeat.api.conditions import get_condition
from fleetbeat.api.refs import Ref
from fleetbeat.errors import DependencyCycle, DependencyNotReady, InvalidExpression

Found = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A resource as registered: (object, status)."""
Look = Callable[[Ref], Found | None]
"""ref → what is registered, or None when the hub has no such resource."""


def depends_on(ref: Ref, obj: Mapping[str, Any]) -> list[Ref]:
    """The refs that `obj` waits for, of its own kind."""
    return [Ref(ref.kind, entry.get("namespace") or ref.namespace, entry["name"]) for entry in _entries(obj)]


def _entries(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    return (obj.get("spec") or {}).get("dependsOn") or []


def require_ready(ref: Ref, obj: Mapping[str, Any], revision: str, look: Look) -> None:
    """Raises DependencyNotReady naming the first dependency that is not ready at this source revision, or the cycle."""
    _refuse_cycle(ref, obj, look)
    for dependency, expression in zip(depends_on(ref, obj), ready_exprs(obj), strict=True):
        found = look(dependency)
        if found is None:
            raise DependencyNotReady(f"dependency '{dependency.namespace}/{dependency.name}' does not exist")
        if expression:
            reason = _not_true(expression, dependency, look(ref), found)
        else:
            same = _source(ref, obj) == _source(dependency, found[0])
            reason = _not_ready(*found, same_source=same, revision=revision)
        if reason:
            raise DependencyNotReady(f"dependency '{dependency.namespace}/{dependency.name}' is not ready: {reason}")


def ready_exprs(obj: Mapping[str, Any]) -> list[str]:
    """The expression of each dependency, empty where it has none. Raises InvalidExpression for one that is none."""
    found = [(entry.get("readyExpr") or "", entry["name"]) for entry in _entries(obj)]
    for expression, name in found:
        if expression:
            cel.compiled(expression, _field(name))
    return [expression for expression, _ in found]


def _not_true(expression: str, dependency: Ref, me: Found | None, dep: Found) -> str:
    """Why a `readyExpr` does not hold over `self` and `dep`; one that fails on them does not hold yet."""
    values = {name: {**one[0], "status": dict(one[1])} for name, one in (("self", me), ("dep", dep)) if one}
    try:
        return "" if cel.holds(expression, _field(dependency.name), values) else f"readyExpr is not true: {expression}"
    except InvalidExpression as error:
        return error.message


def _field(name: str) -> str:
    return f"spec.dependsOn: readyExpr of '{name}'"


def _not_ready(obj: Mapping[str, Any], status: Mapping[str, Any], *, same_source: bool, revision: str) -> str:
    ready = get_condition(status.get("conditions") or [], "Ready")
    if ready is None:
        return "it has not run yet"
    if status.get("observedGeneration") != obj["metadata"].get("generation"):
        return "its latest generation has not been applied"
    if ready["status"] != "True":
        return f"{ready.get('reason', '')}: {ready.get('message', '')}"
    if same_source and status.get("lastAppliedRevision") != revision:
        return f"revision {revision} has not been applied"
    return ""


def _source(ref: Ref, obj: Mapping[str, Any]) -> tuple[str, str, str]:
    source = (obj.get("spec") or {}).get("sourceRef") or {}
    return source.get("kind", ""), source.get("namespace") or ref.namespace, source.get("name", "")


def _refuse_cycle(ref: Ref, obj: Mapping[str, Any], look: Look) -> None:
    """Depth first from `ref`; each resource is looked at once."""
    seen: set[Ref] = set()
    path: list[Ref] = [ref]

    def visit(current: Iterable[Ref]) -> None:
        for dependency in current:
            if dependency == ref:
                names = " → ".join(f"{r.namespace}/{r.name}" for r in [*path, ref])
                raise DependencyCycle(f"dependency cycle: {names}; remove one of these spec.dependsOn entries")
            if dependency in seen:
                continue
            seen.add(dependency)
            found = look(dependency)
            if found is not None:
                path.append(dependency)
                visit(depends_on(dependency, found[0]))
                path.pop()

    visit(depends_on(ref, obj))
