"""The way from a ref over what it refers to back to itself."""

from __future__ import annotations

import time

import pytest

from tests.support.registry import Registry, record, ref

pytestmark = pytest.mark.unit

KINDS = ("Kustomization", "HelmRelease")


def wire(registry: Registry, edges: dict[str, list[str]]) -> None:
    """Refs with these targets; names with a slash are whole refs."""
    for name, targets in edges.items():
        whole = tuple(target if "/" in target else ref(target) for target in targets)
        registry.settled(record(name, targets=whole))


@pytest.mark.parametrize(
    ("edges", "way"),
    [
        ({"a": []}, []),
        ({"a": ["b"], "b": []}, []),
        ({"a": ["gone"]}, []),
        ({"a": ["a"]}, ["a", "a"]),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, ["a", "b", "c", "a"]),
        ({"a": ["b", "c"], "b": ["d"], "c": ["a"], "d": ["a"]}, ["a", "c", "a"]),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, []),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, []),
        ({"a": ["GitRepository/apps/a"]}, []),
    ],
)
def test_the_shortest_way_round(registry: Registry, edges: dict[str, list[str]], way: list[str]) -> None:
    """Ends at the ref itself; a cycle elsewhere, a diamond and what does not exist are none."""
    wire(registry, edges)
    assert registry.state.cycle(ref("a"), KINDS) == [ref(step) for step in way]


def test_only_the_kinds_are_followed(registry: Registry) -> None:
    """Sources refer to others too."""
    wire(registry, {"a": ["b"], "b": ["a"]})
    assert registry.state.cycle(ref("a"), ("HelmRelease",)) == []


def test_a_large_graph_is_one_short_call(registry: Registry) -> None:
    """A thousand refs in fifty layers, each waiting for the whole layer below: milliseconds of Redis' time."""
    layers = [[f"n{layer}-{number}" for number in range(20)] for layer in range(50)]
    records = [
        record(name, targets=tuple(ref(below) for below in (layers[depth - 1] if depth else ())))
        for depth, layer in enumerate(layers)
        for name in layer
    ]
    registry.state.register(records, registry.fence)
    begun = time.monotonic()
    assert registry.state.cycle(ref("n49-0"), KINDS) == []
    assert time.monotonic() - begun < 2
