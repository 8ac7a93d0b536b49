"""Ranges of versions as Flux users write them."""

from __future__ import annotations

import pytest

from fleetbeat.errors import InvalidSpec
from fleetbeat.sources.semver import Range, parse_version

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1.2.3", "1.2.3 1.2.3+build", "1.2.4 1.2.3-rc"),
        ("*", "0.0.1 9.9.9", "1.0.0-rc"),
        ("1", "1.0.0 1.9.9", "2.0.0 0.9.9"),
        ("1.x", "1.0.0 1.9.9", "2.0.0"),
        ("1.2.x", "1.2.0 1.2.9", "1.3.0"),
        (">=1.0.0 <2.0.0", "1.0.0 1.5.0", "2.0.0 0.9.0 1.5.0-rc"),
        (">= 1.0.0, < 2", "1.0.0 1.9.9", "2.0.0"),
        (">=1.0.0-0", "1.0.0-rc 1.5.0-alpha.1 2.0.0", "0.9.0"),
        (">1", "2.0.0", "1.5.0 1.0.0"),
        (">1.2", "1.3.0", "1.2.9"),
        ("<=1.2", "1.2.9 1.0.0", "1.3.0"),
        ("!=1.2.3", "1.2.4", "1.2.3"),
        ("!=1.2", "1.3.0", "1.2.3"),
        ("~1.4", "1.4.0 1.4.9", "1.5.0 1.3.9"),
        ("~1.4.2", "1.4.2 1.4.9", "1.4.1 1.5.0"),
        ("~1", "1.0.0 1.9.0", "2.0.0"),
        ("^1.2", "1.2.0 1.9.0", "1.1.0 2.0.0"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^0.0", "0.0.9", "0.1.0"),
        ("^0", "0.9.0", "1.0.0"),
        ("1.2 - 1.4", "1.2.0 1.4.9", "1.1.9 1.5.0"),
        ("1.0.0 || >=3", "1.0.0 3.1.0", "2.0.0"),
        ("v1.2.3", "1.2.3", "1.2.4"),
        ("=>1.0.0 =<1.1.0", "1.0.5", "1.2.0"),
    ],
)
def test_ranges(text: str, inside: str, outside: str) -> None:
    """Which versions belong to a range."""
    for version in inside.split():
        assert parse_version(version) in Range(text, "spec.version"), version
    for version in outside.split():
        assert parse_version(version) not in Range(text, "spec.version"), version


@pytest.mark.parametrize("text", ["", "abc", "1.2.3 ||", ">=", "1.2.3.4", "main"])
def test_nonsense_is_named(text: str) -> None:
    """A range that cannot be read is the user's to mend."""
    with pytest.raises(InvalidSpec) as raised:
        Range(text, "spec.version")
    assert raised.value.message.startswith(f"spec.version {text!r} is not a range of versions")


def test_a_range_is_wrong_at_its_wrong_part() -> None:
    """Where a part of it can be read, the rest is shown; where nothing can, it is not said twice."""
    with pytest.raises(InvalidSpec, match="'>=1 abc' is not a range of versions at 'abc'; write"):
        Range(">=1 abc", "spec.version")
    with pytest.raises(InvalidSpec, match="'abc' is not a range of versions; write"):
        Range("abc", "spec.version")


@pytest.mark.parametrize(
    ("text", "known"), [("v1.2.3", True), ("1.2.3-rc.1+b", True), ("1.2", False), ("x1.2.3", False), ("", False)]
)
def test_versions_are_complete(text: str, known: bool) -> None:
    """Tags that are not full versions do not count."""
    assert (parse_version(text) is not None) is known
