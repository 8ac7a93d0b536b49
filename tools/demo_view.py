"""What the demo shows: a live table of the fleet on a terminal, plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

REFRESH = 0.1
"""Seconds between looks at the clusters."""


@dataclass(frozen=True)
class Seen:
    """One line of the summary."""

    what: str
    seconds: float


class View:
    """A table that updates in place; events scroll by above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._waiting = ""
        self._begun = 0.0

    def __enter__(self) -> View:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """Something happened."""
        self._console.print(f"  [dim]·[/] {line}", highlight=False)

    def waiting(self, what: str) -> None:
        """From now on the clusters are watched for this."""
        self._waiting, self._begun = what, time.monotonic()

    def done(self, what: str, seconds: float) -> None:
        """It was seen."""
        self._waiting = ""
        self._console.print(f"  [green]✓[/] {what}  [bold]{seconds:.1f} s[/]", highlight=False)

    def summary(self, seen: Sequence[Seen], failure: str, total: float) -> None:
        """What was seen, times included, and what was not."""
        self._console.print("\n[bold]What was seen[/]")
        for one in seen:
            self._console.print(f"  [green]✓[/] {one.what:<55} {one.seconds:6.1f} s", highlight=False)
        if failure:
            self._console.print(f"  [red]✗[/] {failure}", highlight=False)
        self._console.print(f"  {len(seen)} steps seen{', one failed' if failure else ''}, {total:.0f} s in all")

    def logs(self, tails: Mapping[str, str]) -> None:
        """The end of every role's log."""
        for name, tail in tails.items():
            self._console.print(f"--- {name}", style="dim")
            self._console.out(tail, highlight=False)

    def refresh(self, items: list[dict[str, Any]]) -> None:
        """Show the Kustomizations as they are."""
        if self._live:
            self._live.update(self._table(items), refresh=True)
        time.sleep(REFRESH)  # the story's clock, not a worker's

    def _table(self, items: list[dict[str, Any]]) -> Table:
        title = f"waiting: {self._waiting} … {time.monotonic() - self._begun:.0f} s" if self._waiting else ""
        table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
        for column in ("KUSTOMIZATION", "CLUSTER", "REVISION", "READY", "MESSAGE"):
            table.add_column(column, no_wrap=True, overflow="ellipsis")
        for item in sorted(items, key=lambda item: str(item["metadata"]["name"])):
            table.add_row(*_row(item))
        return table


def _row(item: dict[str, Any]) -> tuple[str, str, str, str, str]:
    status = item.get("status") or {}
    ready: dict[str, Any] = next((c for c in status.get("conditions") or [] if c["type"] == "Ready"), {})
    reference = (item["spec"].get("kubeConfig") or {}).get("secretRef") or {}
    cluster = str(reference.get("name", "hub")).removesuffix("-kubeconfig")
    head, _, digest = str(status.get("lastAppliedRevision", "")).rpartition(":")
    state = str(ready.get("status", "…"))
    colour = {"True": "green", "False": "red"}.get(state, "yellow")
    revision = f"{head}:{digest[:7]}" if digest else "-"
    message = str(ready.get("message", "waiting to be reconciled")).replace("\n", " ")
    return item["metadata"]["name"], cluster, revision, f"[{colour}]{state}[/]", message[:90]
