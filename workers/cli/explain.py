"""`fleetbeat explain`: one sentence that says why an object waits and what happens next.

Gathers the facts of reasons.py: the custom resource, what it waits for, and the queue's view from Redis when
`FLEETBEAT_REDIS_URL` is set and answers. Without Redis the custom resource alone is judged.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing

from fleetbeat.api.kinds import KINDS
from fleetbeat.api.refs import Ref
from workers.cli import rows
from workers.cli.connect import Access
from workers.cli.facts import Facts, Reason
from workers.cli.formats import Format, dump
from workers.cli.hub import Hub
from workers.cli.queues import Queues
from workers.cli.reasons import needs_blocker, reason_of
from workers.cli.reconcile import source_of
from workers.cli.terminal import Terminal, Tone
from workers.cli.words import parse_one

DEEPEST = 20
"""Dependencies followed to the one that blocks them all."""


def run(words: Sequence[str], access: Access, *, output: Format) -> None:
    """Print the reason of one object."""
    kind, ref = parse_one(words, access.namespace)
    hub = Hub(access)
    obj = hub.get(kind, ref)
    with closing(Queues(os.environ.get("FLEETBEAT_REDIS_URL", ""))) as queues:
        reason = Detective(hub, queues).solve(ref, obj)
    if queues.unanswered:
        Terminal(sys.stderr).state(Tone.DIM, "Redis does not answer at FLEETBEAT_REDIS_URL: judged by the object alone")
    Terminal().line(dump(reason.data(), output) if output.is_data else reason.sentence)


class Detective:
    """Follows an object's waiting to where it begins."""

    def __init__(self, hub: Hub, queues: Queues) -> None:
        self._hub = hub
        self._queues = queues

    def solve(self, ref: Ref, obj: rows.Obj, path: tuple[Ref, ...] = ()) -> Reason:
        """The reason of one object; `path` are the objects that wait for it."""
        queue, trouble = self._queues.look(ref)
        blocker = self._blocker(ref, obj, (*path, ref)) if needs_blocker(obj) else None
        return reason_of(Facts(ref, obj, rows.is_ours(KINDS[ref.kind], obj), queue, trouble, blocker))

    def _blocker(self, ref: Ref, obj: rows.Obj, path: tuple[Ref, ...]) -> Reason | None:
        for other in waits_for(obj):
            if other in path:
                chain = " → ".join(r.name for r in (*path[path.index(other) :], other))
                return Reason(other, "Cycle", f"waits for {ref.name} in turn (cycle {chain})", "a person must break it")
            found = self._hub.find(other)
            if found is None:
                return Reason(other, "Missing", "does not exist", "it must be created")
            ready = rows.is_static(KINDS[other.kind], found) or rows.condition(found, "Ready").get("status") == "True"
            if not ready and len(path) < DEEPEST:
                return self.solve(other, found, path)
        return None


def waits_for(obj: rows.Obj) -> list[Ref]:
    """What an object says it waits for, by the reason of its Ready condition."""
    if rows.condition(obj, "Ready").get("reason") != "DependencyNotReady":
        source = source_of(obj)
        return [source] if source else []
    own = obj["metadata"]["namespace"]
    depends = (obj.get("spec") or {}).get("dependsOn") or []
    return [Ref(e.get("kind") or obj["kind"], e.get("namespace") or own, e["name"]) for e in depends]
