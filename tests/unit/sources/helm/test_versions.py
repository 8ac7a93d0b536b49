"""Which version of a chart is chosen."""

from __future__ import annotations

import pytest

from fleetbeat.errors import InvalidChartReference
from fleetbeat.sources.helm.index import Entry
from fleetbeat.sources.helm.versions import choose, highest, lenient, same, with_metadata

pytestmark = pytest.mark.unit

VERSIONS = ("1.0.0", "2.1.0", "2.0.0", "3.0.0-rc.1", "v1.5", "not-one", "2021.04.01")


def chosen(wanted: str, versions: tuple[str, ...] = VERSIONS) -> str | None:
    """The version of the entry that is chosen."""
    found = choose([Entry("app", version, ("x",)) for version in versions], wanted, "spec.version")
    return found.version if found else None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("*", "2021.04.01"),
        ("", "2021.04.01"),
        ("2.x", "2.1.0"),
        ("<2", "v1.5"),
        ("~3.0.0-0", "3.0.0-rc.1"),
        (">=3 <4", None),
        ("3.0.0-rc.1", "3.0.0-rc.1"),
        ("v1.5", "v1.5"),
        ("not-one", "not-one"),
    ],
)
def test_the_highest_in_the_range_or_exactly_the_one_asked_for(wanted: str, expected: str | None) -> None:
    """Pre-releases only when the range names one; what is written exactly so needs to be no version."""
    assert chosen(wanted) == expected


def test_build_metadata_is_told_apart_by_time() -> None:
    """The one made last is meant."""
    entries = [Entry("app", f"1.0.0+{n}", ("x",), None, f"2024-01-0{n}T00:00:00Z") for n in (1, 3, 2)]
    found = choose(entries, "1.x", "spec.version")
    assert found is not None
    assert found.version == "1.0.0+3"


def test_a_range_that_is_none_names_the_field() -> None:
    """The user learns which field to mend."""
    with pytest.raises(InvalidChartReference, match=r"^spec\.version 'latest\?' is not a range"):
        chosen("latest?")


def test_tags_of_a_registry() -> None:
    """Plain texts are chosen from alike."""
    assert highest(["1.0.0", "1.1.0+b", "1.1.0-rc", "latest", "sha256-abc.sig"], "1.x", "spec.version") == "1.1.0+b"
    assert highest(["latest"], "*", "spec.version") is None


@pytest.mark.parametrize(
    ("version", "metadata", "expected"),
    [("1.2.3", "5", "1.2.3+5"), ("v1.2", "a.5", "1.2.0+a.5"), ("1.2.3-rc.1+old", "5", "1.2.3-rc.1+5")],
)
def test_metadata_replaces_metadata(version: str, metadata: str, expected: str) -> None:
    """The rest of the version stays."""
    assert with_metadata(version, metadata) == expected


def test_lenient_equality() -> None:
    """v1.0 is 1.0.0, and 1.0.0+a is not 1.0.0+b."""
    assert same("v1.0", "1.0.0")
    assert not same("1.0.0+a", "1.0.0+b")
    assert lenient("1.x") is None
