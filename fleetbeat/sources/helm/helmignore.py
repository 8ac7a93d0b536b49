"""The rules of a .helmignore: which files of a chart's directory stay out of its package.

They are not those of .gitignore: a pattern with a slash must match the whole path, `**` is not known, and the first
rule that matches decides. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fleetbeat.errors import ChartPackageFailed

_ALWAYS = "templates/.?*"


@dataclass(frozen=True)
class _Rule:
    matches: Callable[[str], bool]
    negated: bool
    only_directories: bool

    def decides(self, path: str, directory: bool) -> bool:
        """Whether this rule alone leaves the path out."""
        if self.negated:
            return (self.only_directories and not directory) or not self.matches(path)
        return (directory or not self.only_directories) and self.matches(path)


class HelmIgnore:
    """The rules of one chart."""

    def __init__(self, text: str = "") -> None:
        """Raises ChartPackageFailed naming the line that Helm would not accept."""
        self._rules = [*_rules(text.splitlines()), *_rules([_ALWAYS])]
        self._directories: dict[str, bool] = {"": False}

    def excludes(self, path: str) -> bool:
        """Whether the file at the relative path stays out, by itself or with a directory above it."""
        above = path.rpartition("/")[0]
        return self._excludes_directory(above) or self._decides(path, False)

    def _excludes_directory(self, path: str) -> bool:
        if path not in self._directories:
            above = path.rpartition("/")[0]
            self._directories[path] = self._excludes_directory(above) or self._decides(path, True)
        return self._directories[path]

    def _decides(self, path: str, directory: bool) -> bool:
        return any(rule.decides(path, directory) for rule in self._rules)


def _rules(lines: Iterable[str]) -> Iterable[_Rule]:
    for number, line in enumerate(lines, 1):
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        if "**" in pattern:
            raise ChartPackageFailed(f".helmignore line {number}: Helm does not know ** in patterns; write them out")
        negated = pattern.startswith("!")
        pattern = pattern[1:] if negated else pattern
        only_directories = pattern.endswith("/")
        pattern = pattern.removesuffix("/")
        try:
            yield _Rule(_matcher(pattern), negated, only_directories)
        except re.error:
            raise ChartPackageFailed(f".helmignore line {number}: the pattern {pattern!r} is malformed") from None


def _matcher(pattern: str) -> Callable[[str], bool]:
    regex = re.compile(_translated(pattern.removeprefix("/")), re.DOTALL)
    if "/" in pattern:
        return lambda path: regex.fullmatch(path) is not None
    return lambda path: regex.fullmatch(path.rpartition("/")[2]) is not None


_TOKEN = re.compile(
    r"\\(?P<plain>.)|\[(?P<negated>\^?)(?P<set>(?:\\.|[^\]\\])+)\]|(?P<wild>[*?])|(?P<other>[^\\\[])", re.S
)


def _translated(pattern: str) -> str:
    """Go's filepath.Match as a regular expression: no wildcard matches a slash."""
    pieces, position = [], 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            raise re.error("malformed")
        position = token.end()
        if token["wild"]:
            pieces.append("[^/]*" if token["wild"] == "*" else "[^/]")
        elif token["set"] is not None:
            escaped = re.sub(r"\\?(.)", lambda c: c[1] if c[0] == "-" else re.escape(c[1]), token["set"], flags=re.S)
            pieces.append(f"(?!/)[{token['negated']}{escaped}]")
        else:
            pieces.append(re.escape(token["plain"] or token["other"]))
    return "".join(pieces)
