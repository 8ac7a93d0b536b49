"""Which version of a chart is meant. Owns Helm's lenient reading of versions and its choice among entries. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from semantic_version import Version

from fleetbeat.errors import InvalidChartReference, InvalidSpec
from fleetbeat.sources.helm.index import Entry
from fleetbeat.sources.semver import Range, precedence

_LENIENT = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_T = TypeVar("_T")


def lenient(text: str) -> Version | None:
    """`1.2`, `v1.2.3` and `2021.04.01` as Helm takes them; None for what is no version at all."""
    match = _LENIENT.fullmatch(text.strip())
    if match is None:
        return None
    numbers = ".".join(str(int(part or 0)) for part in match.groups()[:3])
    try:
        return Version(f"{numbers}{match[4] or ''}{match[5] or ''}")
    except ValueError:
        return None


def same(one: str, other: str) -> bool:
    """Whether two texts mean one version, such as `v1.2.0` and `1.2.0`."""
    if one == other:
        return True
    first, second = lenient(one), lenient(other)
    return first is not None and first == second


def with_metadata(version: str, metadata: str) -> str:
    """`1.2.3+old` with other build metadata; raises InvalidChartReference when it is no version."""
    parsed = lenient(version)
    if parsed is None:
        raise InvalidChartReference(f"{version!r} is not a semantic version")
    return f"{parsed.truncate('prerelease')}+{metadata}"


def range_of(text: str, field: str) -> Range:
    """The range of versions that `field` asks for; raises InvalidChartReference naming it."""
    try:
        return Range(text, field)
    except InvalidSpec as error:
        raise InvalidChartReference(error.message) from error


def choose(entries: Iterable[Entry], wanted: str, field: str) -> Entry | None:
    """The entry of exactly that version, else the highest one in that range; None when there is none.

    Versions that differ in build metadata alone are told apart by when they were made.
    """
    known = list(entries)
    exact = next((entry for entry in known if wanted and entry.version == wanted), None)
    if exact is not None:
        return exact
    found = _matching(((entry, entry.version) for entry in known), wanted, field)
    best = max(found, key=lambda pair: (precedence(pair[1]), pair[0].created or ""), default=None)
    return best[0] if best else None


def highest(versions: Iterable[str], wanted: str, field: str) -> str | None:
    """Of plain texts: exactly that one, else the highest in that range."""
    known = sorted(versions)
    if wanted in known:
        return wanted
    found = _matching(((version, version) for version in known), wanted, field)
    best = max(found, key=lambda pair: (precedence(pair[1]), pair[0]), default=None)
    return best[0] if best else None


def _matching(items: Iterable[tuple[_T, str]], wanted: str, field: str) -> list[tuple[_T, Version]]:
    allowed = range_of(wanted or "*", field)
    parsed = ((item, lenient(text)) for item, text in items)
    return [(item, version) for item, version in parsed if version is not None and version in allowed]
