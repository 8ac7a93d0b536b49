"""The only wait of an apply: custom resource definitions become usable before objects of their kinds are looked at.

Bounded. A namespace is usable as soon as it exists, so there is nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic, sleep
from typing import Any

import orjson

from fleetbeat.kube.errors import NoMatch
from fleetbeat.kube.target import Target
from fleetbeat.kube.write import Written

PATIENCE = 60.0
"""Seconds until a definition counts as not coming."""
NEW_KIND_PATIENCE = 10.0
"""Seconds that a new kind may answer 404 although it is established: API servers learn of it one after the other."""


def establish(target: Target, written: Iterable[Written]) -> list[str]:
    """Wait for the definitions among `written`; returns what is wrong with those that do not come."""
    changed = [w for w in written if w.looked.desired.id.kind == "CustomResourceDefinition" and w.action != "unchanged"]
    if not changed:
        return []
    deadline = monotonic() + PATIENCE
    problems = [problem for w in changed if (problem := _wait_established(target, w, deadline))]
    if not problems:
        _wait_served(target, [orjson.loads(w.looked.desired.body) for w in changed if w.action != "skipped"], deadline)
    return problems


def _wait_established(target: Target, written: Written, deadline: float) -> str:
    if written.action == "skipped":
        return ""
    desired = written.looked.desired

    def look() -> str | None:
        crd = target.writer.get(desired.path)
        return _verdict({c["type"]: c for c in (crd.get("status") or {}).get("conditions") or []})

    problem = _poll(look, deadline)
    if problem is None:
        return f"{desired.id} was not established within {PATIENCE:.0f}s"
    return f"{desired.id}: {problem}" if problem else ""


def _verdict(conditions: Mapping[str, Mapping[str, Any]]) -> str | None:
    """ "" when established, what is wrong when it never will be, None when it is too early to say."""
    names = conditions.get("NamesAccepted", {})
    if names.get("status") == "False":
        return f"names not accepted: {names.get('message', '')}"
    return "" if conditions.get("Established", {}).get("status") == "True" else None


def _wait_served(target: Target, crds: Sequence[Mapping[str, Any]], deadline: float) -> None:
    """Until discovery knows the kinds; what it then still lacks is refused where it is used."""

    def look() -> str | None:
        target.discovery.refresh()
        try:
            for crd in crds:
                for version in crd["spec"]["versions"]:
                    if version.get("served"):
                        kind = crd["spec"]["names"]["kind"]
                        target.discovery.resource(crd["spec"]["group"], version["name"], kind)
        except NoMatch:
            return None
        return ""

    _poll(look, min(deadline, monotonic() + NEW_KIND_PATIENCE))


def _poll(look: Callable[[], str | None], deadline: float) -> str | None:
    pause = 0.02
    while (answer := look()) is None and monotonic() < deadline:
        sleep(pause)
        pause = min(pause * 1.7, 0.5)
    return answer
