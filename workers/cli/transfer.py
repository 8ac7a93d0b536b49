"""A progress bar for bytes under way; silent when nobody watches. It goes away when the transfer is over."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from workers.cli.terminal import Terminal

if TYPE_CHECKING:
    from rich.progress import Progress


class Transfer:
    """One transfer of a known size in bytes, shown on standard error."""

    def __init__(self, subject: str, size: int) -> None:
        self._subject, self._size = subject, size
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        out = Terminal(sys.stderr)
        if out.interactive:
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bar = Progress(*columns, console=out.console(), transient=True)
            self._bar.start()
            self._bar.add_task(self._subject, total=self._size)
        return self

    def add(self, count: int) -> None:
        """So many further bytes are there."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], count)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
