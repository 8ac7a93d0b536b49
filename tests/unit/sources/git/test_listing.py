"""A listing of references as it is kept for others."""

from __future__ import annotations

import pytest

from fleetbeat.sources.git.refs import packed, unpacked

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"refs/heads/main": "a" * 40, "refs/tags/v1": "b" * 40, "refs/tags/v1^{}": "c" * 40},
        {b"refs/heads/caf\xe9".decode("utf-8", "surrogateescape"): "d" * 40},
    ],
)
def test_it_comes_back_as_it_was(found: dict[str, str]) -> None:
    """Names that are no text included."""
    assert unpacked(packed(found)) == found
