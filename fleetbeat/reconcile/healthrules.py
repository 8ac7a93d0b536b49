"""`spec.healthCheckExprs`: how a user says when objects of a kind are healthy, where kstatus does not know.

Owns matching by group and kind, and the order of the three questions. An expression that fails on an object, because a
field is not there yet for instance, means that the object is in progress; one that is none is the user's error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fleetbeat.api import cel
from fleetbeat.api.appliers import HealthCheckExpr
from fleetbeat.api.refs import split_api_version
from fleetbeat.errors import InvalidExpression
from fleetbeat.kube import readiness
from fleetbeat.kube.readiness import Health, State, in_progress

Rules = Mapping[tuple[str, str], HealthCheckExpr]
"""(group, kind) → what tells the health of its objects."""

_FIELD = "spec.healthCheckExprs"
_QUESTIONS = (("inProgress", State.IN_PROGRESS), ("failed", State.FAILED), ("current", State.CURRENT))


def rules_of(entries: Iterable[HealthCheckExpr]) -> Rules:
    """The rules by kind. Raises InvalidExpression naming the entry and what is wrong with it."""
    found = {}
    for entry in entries:
        group, _ = split_api_version(entry.api_version)
        if not entry.kind:
            raise InvalidExpression(f"{_FIELD}: the entry of {entry.api_version} names no kind; add it")
        for name, expression in _expressions(entry):
            cel.compiled(expression, _where(entry, name))
        found[group, entry.kind] = entry
    return found


def assess(obj: Mapping[str, Any], rules: Rules) -> Health:
    """The health of a whole object: by its kind's expressions where there are any, else by kstatus' rules."""
    group, _ = split_api_version(str(obj.get("apiVersion") or ""))
    rule = rules.get((group, str(obj.get("kind") or "")))
    if rule is None or obj["metadata"].get("deletionTimestamp"):
        return readiness.assess(obj)
    observed, generation = readiness.status_of(obj).get("observedGeneration"), obj["metadata"].get("generation")
    if isinstance(observed, int) and observed != generation:
        return in_progress(f"generation {generation} is not observed yet (at {observed})")
    try:
        return _answer(rule, obj)
    except InvalidExpression as error:
        return in_progress(error.message)


def _answer(rule: HealthCheckExpr, obj: Mapping[str, Any]) -> Health:
    states = dict(_QUESTIONS)
    for name, expression in _expressions(rule):
        if cel.holds(expression, _where(rule, name), obj):
            return Health(states[name], f"{name} is true: {expression}")
    return in_progress(f"current is not true: {rule.current}")


def _expressions(rule: HealthCheckExpr) -> list[tuple[str, str]]:
    """Name and text of those that are given, in the order in which they are asked."""
    given = {"inProgress": rule.in_progress, "failed": rule.failed, "current": rule.current}
    return [(name, expression) for name, _ in _QUESTIONS if (expression := given[name])]


def _where(rule: HealthCheckExpr, name: str) -> str:
    return f"{_FIELD} of {rule.kind}: {name}"
