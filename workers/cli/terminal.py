"""How the command speaks: colours for state, marks, widths, one line per error.

Owns standard output and error of the command. Colours appear only on a terminal (or with FORCE_COLOR), never with
NO_COLOR or TERM=dumb; nothing is cropped or wrapped when the output goes to a file or a pipe. Must not know what the
texts mean.
"""

from __future__ import annotations

import os
import shutil
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console


class Tone(StrEnum):
    """What a colour says. The value is the SGR code; `PLAIN` adds nothing."""

    PLAIN = ""
    GOOD = "32"
    WAIT = "33"
    BAD = "31"
    DIM = "2"
    STRONG = "1"


MARKS = {Tone.GOOD: "✔", Tone.WAIT: "◌", Tone.BAD: "✗", Tone.DIM: "–", Tone.PLAIN: " "}
"""The sign in front of a line; it carries the state for those who see no colours."""


def paint(text: str, tone: Tone, colour: bool) -> str:
    """`text` in the colour of `tone`, or as it is."""
    return f"\x1b[{tone.value}m{text}\x1b[0m" if colour and tone.value and text else text


class Terminal:
    """One output stream, and what it can show."""

    def __init__(self, stream: TextIO | None = None, environ: dict[str, str] | None = None) -> None:
        self._stream = stream or sys.stdout
        env = dict(os.environ) if environ is None else environ
        self.interactive = self._stream.isatty() and env.get("TERM") != "dumb"
        """A person looks at it: lines may be redrawn."""
        self.colour = not env.get("NO_COLOR") and (self.interactive or bool(env.get("FORCE_COLOR")))

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None when nobody counts them, so nothing is to be folded or cropped."""
        return shutil.get_terminal_size((120, 40)).columns if self.interactive else None

    def line(self, text: str = "") -> None:
        """Write one line at once."""
        print(text, file=self._stream, flush=True)

    def state(self, tone: Tone, text: str) -> None:
        """Write one line behind the mark of a state."""
        self.line(f"{self.mark(tone)} {text}")

    def mark(self, tone: Tone) -> str:
        """The coloured sign of a state."""
        return self.paint(MARKS[tone], tone)

    def paint(self, text: str, tone: Tone) -> str:
        """`text` in the colour of `tone` where colours are shown."""
        return paint(text, tone, self.colour)

    def console(self) -> Console:
        """A rich console on this stream, for what is redrawn in place."""
        from rich.console import Console

        return Console(
            file=self._stream,
            force_terminal=self.interactive,
            no_color=not self.colour,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=not self.interactive,
        )
