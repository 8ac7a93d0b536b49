"""Regular expressions that users write into specs, in the syntax of Go, which is what Flux takes.

Owns their compilation. They run on RE2: time is linear in the text, so that no pattern can occupy a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import re2

from fleetbeat.errors import InvalidSpec

MAX_MEMORY = 1 << 20
"""Bytes that one compiled pattern may take."""


@dataclass(frozen=True)
class Pattern:
    """A pattern that compiles."""

    text: str
    _search: Callable[[str], Any] = field(repr=False, compare=False)

    def matches(self, text: str) -> bool:
        """Whether it matches anywhere in `text`, as in Go; `^` and `$` anchor it."""
        return self._search(text) is not None


@lru_cache(maxsize=256)
def _compiled(text: str) -> Pattern:
    options = re2.Options()
    options.max_mem = MAX_MEMORY
    options.log_errors = False
    return Pattern(text, re2.compile(text, options).search)


def compile_pattern(text: str, where: str) -> Pattern:
    """The pattern of a field of the spec; raises InvalidSpec that names it as `where`."""
    try:
        return _compiled(text)
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        reason = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        raise InvalidSpec(f"{where} {text[:100]!r} is no regular expression: {reason}") from error
