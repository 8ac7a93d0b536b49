"""`spec.dependsOn`: which dependency is not ready yet, and whether the wait can ever end.

A `readyExpr` replaces the built-in question, as with Flux. A dependency may be of another kind, and one that somebody
else reconciles counts by its status on the hub, which the registrar offers.

Reads the registry only. A ref that waits is poked when its dependency's run finishes; the due-set holds no poll for it
beyond its retry interval.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from fleetbeat.api import cel
from fleetbeat.api.conditions import get_condition
from fleetbeat.api.refs import Ref
from fleetbeat.errors import DependencyCycle, DependencyNotReady, InvalidExpression
from fleetbeat.reconcile.status import decode_status

if TYPE_CHECKING:
    from fleetbeat.state import State

Found = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A resource as registered: (object, status)."""
Look = Callable[[Ref], Found | None]
"""ref → what is registered, or None when the hub has no such resource."""


def depends_on(ref: Ref, obj: Mapping[str, Any]) -> list[Ref]:
    """The refs that `obj` waits for; of its own kind where an entry names none."""
    return [
        Ref(entry.get("kind") or ref.kind, entry.get("namespace") or ref.namespace, entry["name"])
        for entry in _entries(obj)
    ]


def _entries(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    return (obj.get("spec") or {}).get("dependsOn") or []


def reader(state: State, owned: Collection[str], wanted: Collection[Ref] = ()) -> Look:
    """Looks at single resources: ours as our runs left them, others as their controller reported them last.

    `wanted` are read at once, in two calls at most.
    """
    looks = state.looks([str(ref) for ref in wanted if ref.kind in owned])
    offers = state.artifacts([str(ref) for ref in wanted if ref.kind not in owned])

    def look(ref: Ref) -> Found | None:
        name = str(ref)
        if ref.kind not in owned:
            offered = offers[name] if name in offers else state.artifact(name)
            obj = msgspec.json.decode(offered)["object"] if offered else None
            return None if obj is None else (obj, obj.get("status") or {})
        found = looks.get(name) if ref in wanted else state.look(name)
        return None if found is None else (msgspec.json.decode(found.obj), decode_status(found.status))

    return look


def require_ready(ref: Ref, obj: Mapping[str, Any], revision: str, look: Look) -> None:
    """Raises DependencyNotReady naming the first dependency that is not ready at this source revision."""
    for dependency, expression in zip(depends_on(ref, obj), ready_exprs(obj), strict=True):
        found = look(dependency)
        if found is None:
            raise DependencyNotReady(f"dependency {_name(ref, dependency)} does not exist")
        if expression:
            reason = _not_true(expression, dependency, look(ref), found)
        else:
            same = _source(ref, obj) == _source(dependency, found[0])
            reason = _not_ready(*found, same_source=same, revision=revision)
        if reason:
            raise DependencyNotReady(f"dependency {_name(ref, dependency)} is not ready: {reason}")


def refuse_cycle(ref: Ref, cycle: list[str]) -> None:
    """Raises DependencyCycle when `cycle`, the refs from `ref` back to itself, is one."""
    if cycle:
        steps = [Ref.parse(step) for step in cycle]
        one_kind = {step.kind for step in steps} == {ref.kind}
        names = " → ".join(f"{step.namespace}/{step.name}" if one_kind else str(step) for step in steps)
        raise DependencyCycle(f"dependency cycle: {names}; remove one of these spec.dependsOn entries")


def ready_exprs(obj: Mapping[str, Any]) -> list[str]:
    """The expression of each dependency, empty where it has none. Raises InvalidExpression for one that is none."""
    found = [(entry.get("readyExpr") or "", entry["name"]) for entry in _entries(obj)]
    for expression, name in found:
        if expression:
            cel.compiled(expression, _field(name))
    return [expression for expression, _ in found]


def _name(ref: Ref, dependency: Ref) -> str:
    kind = "" if dependency.kind == ref.kind else f"{dependency.kind}/"
    return f"'{kind}{dependency.namespace}/{dependency.name}'"


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
    reason = _lack(obj, status, same_source=same_source, revision=revision)
    if not reason:
        return ""
    if obj["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    return f"{reason}; it is suspended and stays so until it is resumed" if _is_suspended(obj) else reason


def _is_suspended(obj: Mapping[str, Any]) -> bool:
    return bool((obj.get("spec") or {}).get("suspend"))


def _lack(obj: Mapping[str, Any], status: Mapping[str, Any], *, same_source: bool, revision: str) -> str:
    ready = get_condition(status.get("conditions") or [], "Ready")
    if ready is None:
        return "it has not run yet"
    if ready["status"] != "True":
        return f"{ready.get('reason', '')}: {ready.get('message', '')}"
    # suspending is a new generation that nobody applies; what was Ready stays so, before its status says that too
    if status.get("observedGeneration") != obj["metadata"].get("generation") and not _is_suspended(obj):
        return "its latest generation has not been applied"
    if same_source and status.get("lastAppliedRevision") != revision:
        return f"revision {revision} has not been applied"
    return ""


def _source(ref: Ref, obj: Mapping[str, Any]) -> tuple[str, str, str]:
    source = (obj.get("spec") or {}).get("sourceRef") or {}
    return source.get("kind", ""), source.get("namespace") or ref.namespace, source.get("name", "")
