"""`fleetbeat events`: what happened to objects, oldest first, and with `--watch` as it happens.

Reads core/v1 Events, as `kubectl` and `flux` do; keeps only those of Fleetbeat's kinds.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fleetbeat.api.kinds import KINDS
from fleetbeat.api.refs import Ref, split_api_version
from workers.cli import rows, table
from workers.cli.connect import Access
from workers.cli.formats import Format, as_list, dump
from workers.cli.hub import Hub
from workers.cli.reconcile import source_of
from workers.cli.table import Cell
from workers.cli.terminal import Terminal, Tone
from workers.cli.words import parse_one

Obj = dict[str, Any]

WATCH_WIDTHS = (8, 7, 24, 36, 0)
"""Least widths of the columns while lines are still to come."""


@dataclass(frozen=True)
class Filter:
    """Whose events are shown."""

    namespace: str | None
    """None: of all namespaces."""
    refs: frozenset[Ref] = frozenset()
    """Empty: of all objects of Fleetbeat's kinds."""

    @property
    def path(self) -> str:
        """The API path of the events."""
        return f"/api/v1/namespaces/{self.namespace}/events" if self.namespace else "/api/v1/events"

    def wants(self, event: Obj) -> bool:
        """Whether an event is to be shown."""
        about = event.get("involvedObject") or {}
        kind = KINDS.get(about.get("kind", ""))
        group, _ = split_api_version(about.get("apiVersion") or "")
        if kind is None or kind.group != group:
            return False
        return not self.refs or Ref(kind.name, about.get("namespace", ""), about.get("name", "")) in self.refs


def run(access: Access, *, about: str, everywhere: bool, output: Format, watch: bool) -> None:
    """Print the events of `about` (`Kind/name`) and of its source, or of everything in the namespace."""
    hub = Hub(access)
    chosen = _filter(hub, access, about, everywhere)
    if watch:
        asyncio.run(_follow(hub, chosen))
        return
    events = in_order(event for event in hub.read(chosen.path)["items"] if chosen.wants(event))
    out = Terminal()
    if output.is_data:
        out.line(dump(as_list(events), output))
    elif not events:
        Terminal(sys.stderr).line(f"There are no events in {'any namespace' if everywhere else access.namespace}.")
    else:
        block = table.Block(_headers(chosen), [_row(chosen, event, rows.age(seen(event))) for event in events])
        for line in table.lines([block], width=out.width, colour=out.colour):
            out.line(line)


def _filter(hub: Hub, access: Access, about: str, everywhere: bool) -> Filter:
    if not about:
        return Filter(None if everywhere else access.namespace)
    _, ref = parse_one([about], access.namespace)
    obj = hub.find(ref)
    source = source_of(obj) if obj else None
    refs = {ref, source} if source else {ref}
    one_place = len({r.namespace for r in refs}) == 1
    return Filter(ref.namespace if one_place else None, frozenset(refs))


def in_order(events: Iterable[Obj]) -> list[Obj]:
    """Events by the time when they were last seen."""
    return sorted(events, key=seen)


def seen(event: Obj) -> str:
    """When it was last seen, RFC 3339; "" when the event does not say."""
    series = event.get("series") or {}
    times = (event.get("lastTimestamp"), series.get("lastObservedTime"), event.get("eventTime"))
    return str(next((t for t in times if t), None) or event["metadata"].get("creationTimestamp") or "")


def _headers(chosen: Filter) -> list[str]:
    return [*(["NAMESPACE"] if chosen.namespace is None else []), "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]


def _row(chosen: Filter, event: Obj, when: str) -> list[Cell]:
    about = event["involvedObject"]
    type_ = event.get("type", "Normal")
    count = event.get("count") or 1
    message = rows.shorten(rows.one_line(event.get("message", "")))
    return [
        *([Cell(about.get("namespace", ""))] if chosen.namespace is None else []),
        Cell(when),
        Cell(type_, Tone.BAD if type_ == "Warning" else Tone.PLAIN),
        Cell(event.get("reason", "")),
        Cell(f"{about['kind']}/{about['name']}"),
        Cell(f"{message} (×{count})" if count > 1 else message),
    ]


async def _follow(hub: Hub, chosen: Filter) -> None:
    from fleetbeat.kube.watch import WatchEvent, session, watch

    out = Terminal()
    widths = [*((16,) if chosen.namespace is None else ()), *WATCH_WIDTHS]
    printed: dict[str, str] = {}

    def show(event: Obj) -> None:
        uid, version = event["metadata"]["uid"], event["metadata"]["resourceVersion"]
        if chosen.wants(event) and printed.get(uid) != version:
            printed[uid] = version
            out.line(table.line(_row(chosen, event, rows.clock(seen(event))), widths, out.colour))

    async def on_list(events: list[Obj]) -> None:
        for event in in_order(events):
            show(event)

    async def on_event(event: WatchEvent) -> None:
        if event.type != "DELETED":
            show(event.object)

    async with session(hub.config) as opened:
        await watch(opened, chosen.path, on_list=on_list, on_event=on_event)
