"""A registry for each test of the verbs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.registry import Registry, rebuilt


@pytest.fixture
def registry(redis_url: str) -> Iterator[Registry]:
    """An empty registry with a committed epoch."""
    with rebuilt(redis_url) as found:
        yield found
