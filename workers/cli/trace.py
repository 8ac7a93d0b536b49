"""`fleetbeat trace`: from an object on any cluster to what applied it, to the source and the revision.

Finds the object in the inventories on the hub, so a remote cluster need not be reachable. What no inventory names is
followed on the hub itself, over its owners (a Pod to its Deployment) and the labels of whoever applied it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from fleetbeat.api.kinds import APPLIERS, KINDS
from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.errors import CommandFailed, FleetbeatError
from fleetbeat.kube.discovery import ACCEPT, Resource
from fleetbeat.kube.errors import NotFound
from fleetbeat.kube.reach import Reach
from fleetbeat.reconcile.targets import Targets
from workers.cli import rows
from workers.cli.connect import Access
from workers.cli.formats import Format, dump
from workers.cli.hub import Hub
from workers.cli.reconcile import source_of
from workers.cli.terminal import Terminal, Tone
from workers.cli.tree import TONES, inventory, look, own_node, rules

MOST_OWNERS = 10
ORIGIN = "org.opencontainers.image."


@dataclass
class Step:
    """One object on the way back to the source."""

    name: str
    state: str
    """A readiness state."""
    note: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    """For `-o json`; what is empty is left out."""

    def data(self) -> dict[str, Any]:
        """The step for `-o json`."""
        return {"object": self.name, "health": self.state, **{k: v for k, v in self.facts.items() if v}}


def run(words: Sequence[str], access: Access, *, output: Format) -> None:
    """Print the way of one object, or of each one of that name."""
    word, name, namespace = _named(words, access.namespace)
    ways = Tracer(Hub(access)).follow(word, name, namespace)
    out = Terminal()
    if output.is_data:
        out.line(dump([[step.data() for step in way] for way in ways], output))
        return
    for way in ways:
        for depth, step in enumerate(way):
            guide = "   " * (depth - 1) + "└─ " if depth else ""
            note = f"  {out.paint(step.note, Tone.DIM)}" if step.note else ""
            out.line(f"{out.paint(guide, Tone.DIM)}{out.mark(TONES.get(step.state, Tone.WAIT))} {step.name}{note}")


def _named(words: Sequence[str], namespace: str) -> tuple[str, str, str]:
    """Kind, name and namespace, of `KIND NAME`, `KIND/NAME` or `KIND/NAMESPACE/NAME`."""
    parts = words[0].split("/") if len(words) == 1 else list(words)
    if len(parts) not in (2, 3) or not all(parts) or (len(words) > 1 and any("/" in word for word in words)):
        raise CommandFailed("name exactly one object, for example `deploy/web`, `deployment web` or `deploy/shop/web`")
    return parts[0], parts[-1], parts[1] if len(parts) == 3 else namespace


class Tracer:
    """One command's way through the hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._targets = Targets(hub.client)

    def follow(self, word: str, name: str, namespace: str) -> list[list[Step]]:
        """The steps from each such object to its source; CommandFailed when nobody here applied one."""
        kinds = list(served(self._hub, word))
        found = list(self._in_inventories(kinds, word, name, namespace))
        if found:
            return [self._applied(applier, identity, version) for applier, identity, version in found]
        return [self._on_the_hub(kinds, word, name, namespace)]

    def _in_inventories(
        self, kinds: Sequence[Resource], word: str, name: str, namespace: str
    ) -> Iterator[tuple[rows.Obj, ObjectId, str]]:
        """(Kustomization, object, version) of each inventory that names it: several clusters may hold one."""
        wanted = {(kind.group, kind.kind) for kind in kinds}
        for applier in self._hub.list(KINDS["Kustomization"], None) or []:
            for identity, version in inventory(applier).items():
                known = (identity.group, identity.kind) in wanted
                said = not kinds and word.lower().removesuffix("s") == identity.kind.lower()
                if identity.name == name and identity.namespace in ("", namespace) and (known or said):
                    yield applier, identity, version

    def _applied(self, applier: rows.Obj, identity: ObjectId, version: str) -> list[Step]:
        where = Reach.of_spec(applier["metadata"]["namespace"], applier.get("spec") or {})
        try:
            node, _ = look(self._targets.reach(where), identity, version, rules(applier))
            state, note = node.state, node.message
        except FleetbeatError as error:
            state, note = "Unknown", rows.one_line(error.message)
        cluster = where.place or "hub"
        told = ", ".join(part for part in (note, f"on {cluster}" if where.place else "") if part)
        return [Step(str(identity), state, told, {"cluster": cluster, "message": note}), *self._from_applier(applier)]

    def _on_the_hub(self, kinds: Sequence[Resource], word: str, name: str, namespace: str) -> list[Step]:
        """Over owners and labels, of an object that is in no inventory."""
        obj = self._read(kinds, name, namespace)
        if obj is None:
            raise CommandFailed(
                f"no Kustomization applied {word}/{name} in namespace {namespace}, and the hub has none"
            )
        steps: list[Step] = []
        while True:
            steps.append(Step(_name(obj), "Current", "", {"cluster": "hub"}))
            applier = self._applier_of(obj)
            if applier is not None:
                return [*steps, *self._from_applier(applier)]
            owner = self._owner(obj)
            if owner is None or len(steps) > MOST_OWNERS:
                chain = " owned by ".join(step.name for step in steps)
                raise CommandFailed(f"{chain} was not applied by Fleetbeat or Flux: nothing on it names who did")
            obj = owner

    def _read(self, kinds: Sequence[Resource], name: str, namespace: str) -> rows.Obj | None:
        for kind in kinds:
            try:
                found = self._hub.read(kind.path(namespace, name))
            except NotFound:
                continue
            return found | {"apiVersion": kind.api_version, "kind": kind.kind}
        return None

    def _owner(self, obj: rows.Obj) -> rows.Obj | None:
        owners = obj["metadata"].get("ownerReferences") or []
        chosen = next((owner for owner in owners if owner.get("controller")), owners[0] if owners else None)
        if chosen is None:
            return None
        kinds = [kind for kind in served(self._hub, chosen["kind"]) if kind.api_version == chosen["apiVersion"]]
        return self._read(kinds, chosen["name"], obj["metadata"].get("namespace", ""))

    def _applier_of(self, obj: rows.Obj) -> rows.Obj | None:
        labels = obj["metadata"].get("labels") or {}
        for kind in APPLIERS:  # each puts its name and namespace into labels of its group
            group = KINDS[kind].group
            name, namespace = labels.get(f"{group}/name"), labels.get(f"{group}/namespace")
            if name and namespace:
                return self._hub.find(Ref(kind, namespace, name))
        return None

    def _from_applier(self, applier: rows.Obj) -> list[Step]:
        node, spec = own_node(applier), applier.get("spec") or {}
        revision = rows.revision(applier["kind"], applier)
        path = spec.get("path") or ""
        message = rows.condition(applier, "Ready").get("message", rows.WAITING)
        notes = (f"path {path}" if path else "", rows.shorten(revision), _unless_ready(node.state, message))
        facts = {"path": path, "revision": revision, "message": message}
        step = Step(node.name, node.state, ", ".join(note for note in notes if note), facts)
        source = source_of(applier)
        return [step, *(self._from_source(source) if source else [])]

    def _from_source(self, ref: Ref) -> list[Step]:
        obj = self._hub.find(ref)
        if obj is None:
            return [Step(str(ref), "NotFound", "does not exist")]
        kind, spec = KINDS[ref.kind], obj.get("spec") or {}
        state = "Current" if rows.is_static(kind, obj) else own_node(obj | {"kind": ref.kind}).state
        revision, message = rows.revision(ref.kind, obj), rows.condition(obj, "Ready").get("message", "")
        url = spec.get("url") or spec.get("endpoint") or spec.get("chart") or ""
        upstream = _upstream(obj)
        facts = {"url": url, "reference": _reference(spec), "revision": revision, **upstream, "message": message}
        shown = (url, _reference(spec), rows.shorten(revision), *map(rows.shorten, upstream.values()))
        notes = (*shown, _unless_ready(state, message))
        step = Step(str(ref), state, ", ".join(note for note in notes if note), facts)
        below = source_of(obj)
        return [step, *(self._from_source(below) if below else [])]


def served(hub: Hub, word: str) -> Iterator[Resource]:
    """The kinds of the hub that a word names as kubectl takes it: kind, plural, singular, short name, with `.group`."""
    name, _, group = word.lower().partition(".")
    for path in ("/api", "/apis"):
        for item in orjson.loads(hub.client.request("GET", path, accept=ACCEPT)).get("items") or []:
            own = (item.get("metadata") or {}).get("name", "")
            for version in (item.get("versions") or [])[:1] if group in ("", own) else ():
                for one in version.get("resources") or []:
                    kind = (one.get("responseKind") or {}).get("kind", "")
                    words = {kind.lower(), one["resource"], one.get("singularResource"), *(one.get("shortNames") or [])}
                    if name in words:
                        namespaced = one.get("scope") == "Namespaced"
                        yield Resource(own, version["version"], kind, one["resource"], namespaced)


def _name(obj: rows.Obj) -> str:
    meta = obj["metadata"]
    return "/".join(part for part in (obj["kind"], meta.get("namespace"), meta["name"]) if part)


def _unless_ready(state: str, message: str) -> str:
    return "" if state == "Current" else rows.shorten(rows.one_line(message))


def _reference(spec: rows.Obj) -> str:
    """`branch main`, `tag v1`: what a source follows."""
    ref = spec.get("ref")
    if isinstance(ref, dict) and ref:
        return ", ".join(f"{key} {value}" for key, value in ref.items())
    return f"version {spec['version']}" if spec.get("version") and spec.get("chart") else ""


def _upstream(obj: rows.Obj) -> dict[str, str]:
    """What the artifact of a registry was made from, where its author says so."""
    metadata = ((obj.get("status") or {}).get("artifact") or {}).get("metadata") or {}
    names = {"originSource": f"{ORIGIN}source", "originRevision": f"{ORIGIN}revision"}
    return {name: str(metadata[key]) for name, key in names.items() if metadata.get(key)}
