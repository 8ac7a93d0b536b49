"""Sources that include each other: what comes to rest, and what would grow for ever."""

from __future__ import annotations

import pytest

from fleetbeat.errors import IncludeCycle
from fleetbeat.reconcile.gitinclude import refuse_cycle
from fleetbeat.sources.git.plan import Include

pytestmark = pytest.mark.unit

Graph = dict[str, list[tuple[str, str, str]]]
"""Source → what it includes: (source, fromPath, toPath)."""


def check(graph: Graph) -> None:
    """As a run of `a`."""
    refuse_cycle("a", lambda name: [Include(*entry) for entry in graph.get(name, [])])


@pytest.mark.parametrize(
    "graph",
    [
        {},
        {"a": [("b", "", "b"), ("c", "", "c")], "b": [("c", "", "c")]},
        {"a": [("b", "lib", "b")], "b": [("a", "app", "a")]},
        {"a": [("b", "lib", "b")], "b": [("a", "", "other")]},
        {"a": [("b", "", "b")], "b": [("a", "app", "a")]},
        {"a": [("b", "lib/x", "b")], "b": [("a", "", "lib/y")]},
        {"a": [("b", "lib/deep", "b")], "b": [("a", "", "lib")]},
        {"a": [("b", "", "b")]} | {f"{i}": [(f"{i + 1}", "", "x"), (f"{i + 1}", "", "y")] for i in range(20)},
    ],
)
def test_what_comes_to_rest(graph: Graph) -> None:
    """Each takes what the other does not take from it."""
    check(graph)


@pytest.mark.parametrize(
    "graph",
    [
        {"a": [("b", "", "b")], "b": [("a", "", "a")]},
        {"a": [("b", "", "b")], "b": [("c", "", "c")], "c": [("a", "", "a")]},
        {"a": [("b", "lib", "b")], "b": [("a", "", "lib/deep/a")]},
        {"a": [("b", "", "x/b")], "b": [("a", "x", "a")]},
        {"a": [("b", "", "")], "b": [("a", "b", "b")]},
        {"a": [("b", "y/y", "x")], "b": [("a", "x/x", "y")]},
        {"a": [("b", "", "b")], "b": [("c", "", "c")], "c": [("b", "", "b")]},
        {"a": [("0", "", "x")]} | {f"{i}": [(f"{i + 1}", "", "x")] for i in range(40)},
    ],
)
def test_what_would_contain_itself(graph: Graph) -> None:
    """Directly, by a part, through others, or in a chain that nobody can survey."""
    with pytest.raises(IncludeCycle, match="the content would contain itself"):
        check(graph)
