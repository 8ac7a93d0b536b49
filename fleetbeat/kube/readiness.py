"""Is an object ready: kstatus' rules, from the object alone. No I/O, no clock but the one passed in.

Owns `assess`. The rules per workload kind are in `workloads.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

Object = Mapping[str, Any]
Conditions = Mapping[str, Mapping[str, Any]]


class State(Enum):
    """kstatus' states; the values are its names."""

    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    TERMINATING = "Terminating"
    NOT_FOUND = "NotFound"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """A state and the sentence behind it."""

    state: State
    message: str = ""


def current(message: str = "") -> Health:
    """Ready."""
    return Health(State.CURRENT, message)


def in_progress(message: str) -> Health:
    """Not ready yet."""
    return Health(State.IN_PROGRESS, message)


def failed(message: str) -> Health:
    """Will not become ready by waiting."""
    return Health(State.FAILED, message)


def conditions_of(obj: Object) -> Conditions:
    """`status.conditions` by type; malformed entries are left out."""
    found = status_of(obj).get("conditions")
    if not isinstance(found, list):
        return {}
    return {c["type"]: c for c in found if isinstance(c, dict) and isinstance(c.get("type"), str)}


def status_of(obj: Object) -> Mapping[str, Any]:
    """`status`, empty when absent or malformed."""
    status = obj.get("status")
    return status if isinstance(status, dict) else {}


def is_true(conditions: Conditions, kind: str) -> bool:
    """Whether a condition is there and true."""
    return conditions.get(kind, {}).get("status") == "True"


def message_of(condition: Mapping[str, Any]) -> str:
    """What a condition says."""
    return str(condition.get("message") or condition.get("reason") or "")


def assess(obj: Object | None) -> Health:
    """The health of a whole object as read from the API server; None is an object that does not exist."""
    if obj is None:
        return Health(State.NOT_FOUND, "not found")
    from fleetbeat.kube import workloads

    metadata = obj.get("metadata") or {}
    if metadata.get("deletionTimestamp"):
        return Health(State.TERMINATING, "being deleted")
    group, _, _ = str(obj.get("apiVersion") or "").rpartition("/")
    rule = workloads.RULES.get((group, str(obj.get("kind") or "")))
    early = None if rule in workloads.WITHOUT_CONDITIONS else _general(obj)
    if early is not None:
        return early
    return rule(obj) if rule is not None else _by_ready_condition(obj)


def _general(obj: Object) -> Health | None:
    """What holds for every kind: the controller has seen this generation, and says neither reconciling nor stalled."""
    generation = (obj.get("metadata") or {}).get("generation")
    observed = status_of(obj).get("observedGeneration")
    conditions = conditions_of(obj)
    if isinstance(generation, int) and isinstance(observed, int) and observed != generation:
        return in_progress(f"generation {generation} is not observed yet (at {observed})")
    if is_true(conditions, "Reconciling"):
        return in_progress(message_of(conditions["Reconciling"]))
    if is_true(conditions, "Stalled"):
        return failed(message_of(conditions["Stalled"]))
    return None


def _by_ready_condition(obj: Object) -> Health:
    """Any other kind: its Ready condition, and current when it has none."""
    ready = conditions_of(obj).get("Ready")
    if ready is None or ready.get("status") == "True":
        return current()
    return in_progress(message_of(ready) or f"Ready is {ready.get('status')}")
