"""`fleetbeat tree`: what a Kustomization manages, on whichever cluster, with the health of each object.

Owns the walk: inventory → live objects → nested Kustomizations. Health itself is decided in
fleetbeat/reconcile/healthrules.py, how a cluster is reached in fleetbeat/reconcile/targets.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fleetbeat.api.appliers import HealthCheckExpr
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.refs import HUB, ObjectId, Ref
from fleetbeat.errors import CommandFailed, FleetbeatError
from fleetbeat.kube.errors import NoMatch, NotFound
from fleetbeat.kube.pool import run_all
from fleetbeat.kube.reach import Reach
from fleetbeat.kube.target import Target
from fleetbeat.reconcile.healthrules import Rules, assess, rules_of
from fleetbeat.reconcile.targets import Targets
from workers.cli import rows
from workers.cli.connect import Access
from workers.cli.formats import Format, dump
from workers.cli.hub import Hub
from workers.cli.terminal import Terminal, Tone
from workers.cli.words import parse_one

KUSTOMIZATION = "Kustomization"

TONES = {
    "Current": Tone.GOOD,
    "Failed": Tone.BAD,
    "NotFound": Tone.BAD,
    "InProgress": Tone.WAIT,
    "Terminating": Tone.WAIT,
    "Unknown": Tone.WAIT,
}


@dataclass
class Node:
    """One object and what hangs below it."""

    name: str
    state: str
    """A readiness state, or `Suspended`."""
    message: str = ""
    children: list[Node] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """The node for `-o json`."""
        below = {"children": [child.data() for child in self.children]} if self.children else {}
        return {"object": self.name, "health": self.state, "message": self.message, **below}


def run(words: Sequence[str], access: Access, *, output: Format) -> None:
    """Print the tree below one Kustomization."""
    kind, ref = parse_one(words, access.namespace)
    if kind.name != KUSTOMIZATION:
        raise CommandFailed(f"{kind.name} has no tree: only a Kustomization keeps an inventory of what it manages")
    hub = Hub(access)
    root = Walk(hub).below(hub.get(kind, ref))
    out = Terminal()
    if output.is_data:
        out.line(dump(root.data(), output))
        return
    for line in drawn(root, out):
        out.line(line)


class Walk:
    """One command's way through Kustomizations, holding its connections to their clusters."""

    def __init__(self, hub: Hub) -> None:
        self._targets = Targets(hub.client)

    def below(self, obj: rows.Obj, above: frozenset[Ref] = frozenset()) -> Node:
        """A Kustomization of the hub with everything under it; a loop of nesting ends where it closes."""
        ref = Ref.of(obj)
        node = own_node(obj)
        versions = inventory(obj)
        if ref in above or not versions:
            return node
        where = reach(obj)
        try:
            target = self._targets.reach(where)
        except FleetbeatError as error:
            node.children = [Node(str(identity), "Unknown", error.message) for identity in sorted(versions, key=_order)]
            return node
        said = rules(obj)
        seen = run_all(lambda i: look(target, i, versions[i], said), sorted(versions, key=_order))
        for identity, (child, live) in zip(sorted(versions, key=_order), seen, strict=True):
            nested = live is not None and where.cluster == HUB and is_kustomization(identity)
            node.children.append(self.below(live, above | {ref}) if nested and live else child)
        return node


def rules(obj: rows.Obj) -> Rules:
    """What `spec.healthCheckExprs` of a Kustomization says; nothing where it cannot be read."""
    try:
        entries = (obj.get("spec") or {}).get("healthCheckExprs") or []
        return rules_of(msgspec.convert(entries, tuple[HealthCheckExpr, ...]))
    except (msgspec.ValidationError, FleetbeatError):
        return {}


def look(target: Target, identity: ObjectId, version: str, said: Rules) -> tuple[Node, rows.Obj | None]:
    """One managed object as it is now, and its node; `said` tells when objects of some kinds are healthy."""
    name = str(identity)
    try:
        resource = target.discovery.resource(identity.group, version, identity.kind)
        live: rows.Obj = target.client.get(resource.path(identity.namespace, identity.name))
    except (NotFound, NoMatch):
        return Node(name, "NotFound", "not found on the cluster"), None
    except FleetbeatError as error:
        return Node(name, "Unknown", rows.one_line(error.message)), None
    live.setdefault("kind", identity.kind)
    live.setdefault("apiVersion", resource.api_version)
    health = assess(live, said)
    state = health.state.value
    return Node(name, state, "" if state == "Current" else rows.one_line(health.message)), live


def own_node(obj: rows.Obj) -> Node:
    """The node of a Kustomization itself: its revision when ready, its message when not."""
    ready = rows.condition(obj, "Ready")
    revision = rows.shorten((obj.get("status") or {}).get("lastAppliedRevision") or "")
    name = str(Ref.of(obj))
    if (obj.get("spec") or {}).get("suspend"):
        return Node(name, "Suspended", f"suspended at {revision}" if revision else "suspended")
    state = {"True": "Current", "False": "Failed"}.get(ready.get("status", ""), "InProgress")
    message = revision if state == "Current" else rows.shorten(rows.one_line(ready.get("message", rows.WAITING)))
    return Node(name, state, message)


def inventory(obj: rows.Obj) -> dict[ObjectId, str]:
    """What a Kustomization says it manages, with the API version of each."""
    entries = ((obj.get("status") or {}).get("inventory") or {}).get("entries") or []
    return {ObjectId.from_inventory_id(entry["id"]): entry.get("v", "") for entry in entries}


def reach(obj: rows.Obj) -> Reach:
    """The cluster that a Kustomization applies to."""
    return Reach.of_spec(obj["metadata"]["namespace"], obj.get("spec") or {})


def is_kustomization(identity: ObjectId) -> bool:
    """Whether an object is a Kustomization of ours, not of kustomize's own group."""
    return identity.kind == KUSTOMIZATION and identity.group == KINDS[KUSTOMIZATION].group


def drawn(node: Node, out: Terminal, prefix: str = "", guide: str = "") -> Iterator[str]:
    """The lines of a tree: guide, mark, name, then the message of what is not well or a Kustomization's revision."""
    note = f"  {out.paint(node.message, Tone.DIM)}" if node.message else ""
    yield f"{out.paint(guide, Tone.DIM)}{out.mark(TONES.get(node.state, Tone.WAIT))} {node.name}{note}"
    for number, child in enumerate(node.children):
        last = number == len(node.children) - 1
        yield from drawn(child, out, prefix + ("   " if last else "│  "), prefix + ("└─ " if last else "├─ "))


def _order(identity: ObjectId) -> tuple[bool, str, str, str]:
    """Kustomizations last, so that what hangs below them does not tear the list apart."""
    return (is_kustomization(identity), identity.namespace, identity.kind, identity.name)
