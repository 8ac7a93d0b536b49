"""Patterns of copy rules: path by path, segment by segment, with or without `**` over many directories.

Owns the language. A rule's `from` is matched segment by segment (`**` is `*` there, and what it finds is copied whole);
excludes, and the archives that are to be extracted, know `**` for any number of directories and `{a,b}` for either.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from functools import lru_cache

from fleetbeat.errors import InvalidSpec

MAX_ALTERNATIVES = 256
"""What the groups `{a,b}` of one pattern may unfold to."""
_GROUP = re.compile(r"\{([^{}]*)\}")


def is_glob(path: str) -> bool:
    """Whether it is a pattern and not the name of one file or directory."""
    return any(character in "*?[]" for character in path)


def matches(pattern: str, path: str) -> bool:
    """Segment by segment: both have equally many."""
    wanted, found = pattern.split("/"), path.split("/")
    return len(wanted) == len(found) and all(map(_segment, wanted, found))


def matches_deep(pattern: str, path: str) -> bool:
    """With `**` and `{a,b}`; raises InvalidSpec when it has too many alternatives."""
    found = tuple(path.split("/"))
    return any(_deep(tuple(one.split("/")), found) for one in alternatives(pattern))


@lru_cache(maxsize=512)
def alternatives(pattern: str) -> tuple[str, ...]:
    """The pattern once for every choice from its groups; groups within groups are unfolded from the inside."""
    done: list[str] = []
    waiting = [pattern]
    while waiting:
        current = waiting.pop()
        group = _GROUP.search(current)
        if group is None:
            done.append(current)
            continue
        waiting += [current[: group.start()] + choice + current[group.end() :] for choice in group[1].split(",")]
        if len(waiting) + len(done) > MAX_ALTERNATIVES:
            raise InvalidSpec(f"the pattern {pattern[:100]!r} has more than {MAX_ALTERNATIVES} alternatives")
    return tuple(done)


def _deep(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Which prefixes of the path each further segment of the pattern can reach."""
    reached = {0}
    for segment in pattern:
        if segment == "**":
            reached = set(itertools.chain.from_iterable(range(at, len(path) + 1) for at in reached))
        else:
            reached = {at + 1 for at in reached if at < len(path) and _segment(segment, path[at])}
        if not reached:
            return False
    return len(path) in reached


def _segment(pattern: str, name: str) -> bool:
    return _compiled(pattern).match(name) is not None


@lru_cache(maxsize=2048)
def _compiled(pattern: str) -> re.Pattern[str]:
    """By fnmatch, whose expressions never backtrack far; `[^a]` and escaped characters are understood too."""
    plain = re.sub(r"\\(.)", lambda escaped: f"[{escaped[1]}]", pattern).replace("[^", "[!")
    return re.compile(fnmatch.translate(plain))
