"""`fleetbeat get --watch`: the table of get.py, kept true by watches.

One watch per kind on one event loop. On a terminal the table is redrawn in place when something changed, at most ten
times a second, and the names of what just changed are bold for a moment; elsewhere a line is printed per change.
What the table holds is in board.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rich.text import Text

from fleetbeat.api.kinds import Kind
from fleetbeat.kube.errors import KubeError
from fleetbeat.kube.watch import Session, Watch, WatchEvent, session
from workers.cli import rows, table
from workers.cli.board import Board
from workers.cli.get import Query, fetch
from workers.cli.hub import Hub
from workers.cli.terminal import Terminal, Tone

if TYPE_CHECKING:
    from rich.live import Live

REDRAW = 0.1


@dataclass(eq=False)
class Feed:
    """One kind's watch, filling the board."""

    opened: Session
    board: Board
    kind: Kind
    show: Callable[[Kind, rows.Obj], None] | None = None
    """Hears of each object whose row looks different."""
    _problem: str = ""
    _problem_at: float = float("-inf")

    @cached_property
    def watch(self) -> Watch:
        """The watch, for somebody to run."""
        query = self.board.query
        path = self.kind.path(query.namespace)
        return Watch(
            self.opened, path, self._on_list, self._on_event, label_selector=query.selector, on_error=self._on_error
        )

    @property
    def trouble(self) -> str:
        """Why the rows of this kind may be out of date, "" when they are not."""
        return self._problem if self._problem_at > self.watch.last_seen else ""

    async def _on_list(self, objects: list[rows.Obj]) -> None:
        self._tell(self.board.replace(self.kind, [obj for obj in objects if self.board.wants(obj)]))

    async def _on_event(self, event: WatchEvent) -> None:
        if not self.board.wants(event.object):
            return
        if event.type == "DELETED":
            self.board.drop(self.kind, event.object)
        elif self.board.put(self.kind, event.object):
            self._tell([event.object])

    def _on_error(self, error: KubeError) -> None:
        self._problem, self._problem_at = rows.one_line(error.message), time.monotonic()

    def _tell(self, objects: Sequence[rows.Obj]) -> None:
        if self.show is not None:
            for obj in objects:
                self.show(self.kind, obj)


def run(hub: Hub, query: Query) -> None:
    """Show `query` until interrupted."""
    board = Board(query)
    blocks = fetch(hub, query)
    for block in blocks:
        board.replace(block.kind, block.objects)
    board.changed.clear()
    out = Terminal()
    kinds = [block.kind for block in blocks]
    asyncio.run(_redraw(hub, board, kinds, out) if out.interactive else _append(hub, board, kinds, out))


async def _redraw(hub: Hub, board: Board, kinds: Sequence[Kind], out: Terminal) -> None:
    from rich.live import Live

    with Live(console=out.console(), auto_refresh=False, vertical_overflow="crop") as live:
        async with session(hub.config) as opened, asyncio.TaskGroup() as group:
            feeds = [Feed(opened, board, kind) for kind in kinds]
            for feed in feeds:
                group.create_task(feed.watch.run())
            await _draw(board, feeds, live, out)


async def _draw(board: Board, feeds: Sequence[Feed], live: Live, out: Terminal) -> None:
    ticking = board.query.output == "wide"
    told, drawn_at = "", 0.0
    while True:
        now = time.monotonic()
        board.calm(now)
        trouble = next((feed.trouble for feed in feeds if feed.trouble), "")
        if board.stale or trouble != told or (ticking and now - drawn_at >= 1):
            board.stale, told, drawn_at = False, trouble, now
            live.update(_screen(board, trouble, live.console.height, out), refresh=True)
        await asyncio.sleep(REDRAW)


def _screen(board: Board, trouble: str, height: int, out: Terminal) -> Text:
    lines = _fitted(board.lines(out.width, out.colour), height - 2 if trouble else height)
    if trouble:
        lines += ["", f"{out.mark(Tone.WAIT)} not up to date: {trouble}"]
    return Text.from_ansi("\n".join(lines), no_wrap=True, overflow="ellipsis")


def _fitted(lines: list[str], height: int) -> list[str]:
    """As many lines as the screen has; the last says how many are missing."""
    if len(lines) < height:
        return lines
    shown = max(1, height - 2)
    return [*lines[:shown], f"… {len(lines) - shown} more lines"]


async def _append(hub: Hub, board: Board, kinds: Sequence[Kind], out: Terminal) -> None:
    for line in board.lines(None, out.colour):
        out.line(line)

    def show(kind: Kind, obj: rows.Obj) -> None:
        out.line(table.line(rows.row(board.query.columns(kind), kind, obj), board.widths(kind), out.colour))

    async with session(hub.config) as opened, asyncio.TaskGroup() as group:
        for kind in kinds:
            group.create_task(Feed(opened, board, kind, show).watch.run())
