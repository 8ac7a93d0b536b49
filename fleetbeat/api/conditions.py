"""How conditions move: plain dicts in a list, as they stand in a status, changed in place.

A condition's `lastTransitionTime` moves when its `status`, `reason` or `message` does: `flux trace` shows it as the
time of the last reconciliation. A new one is put in its place: Stalled, Reconciling, Ready, then the others by name,
which is Flux's order. No I/O; the caller brings the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_FIRST = {"Stalled": 0, "Reconciling": 1, "Ready": 2}


def get_condition(conditions: Iterable[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    """The condition of that type, or None."""
    return next((condition for condition in conditions if condition.get("type") == kind), None)


def set_condition(
    conditions: list[dict[str, Any]], kind: str, status: str, reason: str, message: str, generation: int, now: str
) -> None:
    """Set or add the condition of that type; `now` is RFC 3339 and used only when more than `generation` changes."""
    old = get_condition(conditions, kind)
    state = (status, reason, message)
    same = old is not None and (old.get("status"), old.get("reason"), old.get("message")) == state
    new = {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": (old.get("lastTransitionTime") if old is not None and same else None) or now,
    }
    if old is None:
        conditions.append(new)
        conditions.sort(key=_place)
    else:
        conditions[conditions.index(old)] = new


def remove_condition(conditions: list[dict[str, Any]], *kinds: str) -> None:
    """Drop the conditions of these types where there are any."""
    conditions[:] = [condition for condition in conditions if condition.get("type") not in kinds]


def is_ready(status: Mapping[str, Any] | None) -> bool:
    """True when a status says Ready, whatever the generation."""
    ready = get_condition((status or {}).get("conditions") or [], "Ready")
    return ready is not None and ready.get("status") == "True"


def _place(condition: Mapping[str, Any]) -> tuple[int, str]:
    kind = str(condition.get("type", ""))
    return _FIRST.get(kind, len(_FIRST)), kind
