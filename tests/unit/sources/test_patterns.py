"""Users' regular expressions: Go's syntax, and no pattern that occupies a worker."""

from __future__ import annotations

import pytest

from fleetbeat.errors import InvalidSpec
from fleetbeat.sources.patterns import compile_pattern

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("example", "https://example.com/x", True),
        ("^https://github.com/org/.*$", "https://github.com/org/app/.github/workflows/a.yaml@refs/tags/v1", True),
        ("^https://github.com/org/.*$", "http://evil/?https://github.com/org/", False),
        (r"(?i)^ME@", "me@example.com", True),
    ],
)
def test_a_pattern_matches_anywhere_unless_it_is_anchored(pattern: str, text: str, matches: bool) -> None:
    """As Go's MatchString does."""
    assert compile_pattern(pattern, "f").matches(text) is matches


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"(a)\1", "*"])
def test_what_go_does_not_take_is_refused_with_the_field(pattern: str) -> None:
    """Look-ahead and back-references are not of Go's syntax."""
    with pytest.raises(InvalidSpec, match=r"spec\.x .* is no regular expression"):
        compile_pattern(pattern, "spec.x")


def test_a_pattern_that_explodes_elsewhere_is_linear() -> None:
    """Backtracking engines take longer than the age of the universe."""
    assert not compile_pattern("^(a+)+$", "f").matches("a" * 50_000 + "b")
