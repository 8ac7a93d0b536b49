"""Version ranges as Flux users write them: `>=1.0.0 <2.0.0`, `^1.2`, `~1.4`, `1.x`, `1.2 - 1.4`, `>=1.0.0-0`, `a || b`.

Owns parsing and matching. The rules are those of Go's usual library, not npm's: a pre-release is matched only by a
comparator that itself names one (so `>=1.0.0-0` takes every pre-release), commas and blanks both mean *and*. Versions
must be complete (`1.2.3`), with an optional leading `v`. It performs no I/O and sorts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from semantic_version import Version

from fleetbeat.errors import InvalidSpec

_PART = r"(?:\d+|[xX*])"
_OPERAND = rf"v?({_PART})(?:\.({_PART}))?(?:\.({_PART}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
_COMPARATOR = re.compile(rf"\s*(=|!=|>=|=>|<=|=<|>|<|~>|~|\^|)\s*{_OPERAND}\s*")
_HYPHEN = re.compile(rf"({_OPERAND})\s+-\s+({_OPERAND})")
_ALIASES = {"": "=", "=>": ">=", "=<": "<=", "~>": "~"}


def parse_version(text: str) -> Version | None:
    """`v1.2.3-rc.1+build` as a version, or None for whatever is not a complete one."""
    try:
        return Version(text.removeprefix("v"))
    except ValueError:
        return None


def precedence(version: Version) -> Any:
    """What versions are ordered by; equal for versions that differ in build metadata alone."""
    return version.truncate("prerelease").precedence_key


@dataclass(frozen=True)
class _Comparator:
    """One operator with its operand; `given` counts the parts of the operand that are numbers (0 to 3)."""

    operator: str
    operand: Version
    given: int

    def matches(self, version: Version) -> bool:
        if version.prerelease and not self.operand.prerelease:
            return False
        return _OPERATORS[self.operator](self, version)

    def same_prefix(self, version: Version, parts: int) -> bool:
        """Whether the first `parts` numbers agree."""
        return _numbers(version)[:parts] == _numbers(self.operand)[:parts]


def _numbers(version: Version) -> tuple[int, int, int]:
    return (version.major, version.minor, version.patch)


def _equal(this: _Comparator, version: Version) -> bool:
    return _tilde(this, version) if this.given < 3 else bool(precedence(version) == precedence(this.operand))


def _greater(this: _Comparator, version: Version) -> bool:
    return bool(version > this.operand) and (this.given == 3 or not this.same_prefix(version, this.given))


def _at_most(this: _Comparator, version: Version) -> bool:
    return bool(version <= this.operand) or (this.given < 3 and this.same_prefix(version, this.given))


def _tilde(this: _Comparator, version: Version) -> bool:
    return bool(version >= this.operand) and this.same_prefix(version, min(this.given, 2))


def _caret(this: _Comparator, version: Version) -> bool:
    """Nothing left of and including the first given number that is not zero may change."""
    numbers = _numbers(this.operand)[: this.given]
    fixed = next((index + 1 for index, number in enumerate(numbers) if number), this.given)
    return bool(version >= this.operand) and this.same_prefix(version, fixed)


_OPERATORS: dict[str, Callable[[_Comparator, Version], bool]] = {
    "=": _equal,
    "!=": lambda this, version: not _equal(this, version),
    ">": _greater,
    ">=": lambda this, version: bool(version >= this.operand),
    "<": lambda this, version: bool(version < this.operand),
    "<=": _at_most,
    "~": _tilde,
    "^": _caret,
}


class Range:
    """A set of versions."""

    def __init__(self, text: str, field: str) -> None:
        """Raises InvalidSpec, naming `field`, when `text` is not a range."""
        self._alternatives = [_comparators(part, text, field) for part in text.split("||")]

    def __contains__(self, version: Version) -> bool:
        return any(all(one.matches(version) for one in every) for every in self._alternatives)


def _comparators(text: str, whole: str, field: str) -> list[_Comparator]:
    text = _HYPHEN.sub(lambda found: f">={found[1]} <={found[6]}", text.strip())
    found: list[_Comparator] = []
    position = 0
    while position < len(text):
        match = _COMPARATOR.match(text, position)
        if match is None:
            rest = text[position:]
            where = f" at {rest[:20]!r}" if rest != whole.strip() else ""
            raise InvalidSpec(f"{field} {whole!r} is not a range of versions{where}; write one such as >=1.0.0 <2.0.0")
        found.append(_comparator(match))
        position = match.end()
        position += text[position : position + 1] == ","
    if not found:
        raise InvalidSpec(
            f"{field} {whole!r} is not a range of versions: a part of it is empty; write * for any version"
        )
    return found


def _comparator(match: re.Match[str]) -> _Comparator:
    operator, *parts, prerelease = match.groups()
    numbers: list[int] = []
    for part in parts:
        if part is None or not part.isdigit():
            break
        numbers.append(int(part))
    text = ".".join(str(number) for number in [*numbers, 0, 0, 0][:3])
    operand = Version(f"{text}-{prerelease}") if prerelease else Version(text)
    return _Comparator(_ALIASES.get(operator, operator), operand, len(numbers))
