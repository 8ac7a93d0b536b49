"""One line that stands for something under way, redrawn on a terminal and printed once elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from workers.cli.terminal import Terminal, Tone

if TYPE_CHECKING:
    from rich.status import Status


class Progress:
    """A subject and how it stands. Only its last state stays on the screen."""

    def __init__(self, subject: str, stream: TextIO | None = None) -> None:
        """`stream` is where it is shown, standard output by default."""
        self._subject = subject
        self._out = Terminal(stream)
        self._status: Status | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def update(self, message: str) -> None:
        """Show where it stands; says nothing when nobody watches."""
        if not self._out.interactive:
            return
        from rich.text import Text

        text = Text.assemble(self._subject, "  ", (message, "dim"), overflow="ellipsis", no_wrap=True)
        if self._status is None:
            self._status = self._out.console().status(text, spinner="dots", spinner_style="yellow")
            self._status.start()
        self._status.update(text)

    def clear(self) -> None:
        """Take the line off the screen so that others can be printed; `update` brings it back."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def done(self, tone: Tone, message: str) -> None:
        """Replace the line by its end."""
        self.clear()
        self._out.state(tone, f"{self._subject}  {message}")
