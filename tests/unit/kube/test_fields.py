"""Field sets: joining, walking, printing, looking up."""

from __future__ import annotations

import pytest

from fleetbeat.kube.fields import contains, leaves, lookup, printed, union

pytestmark = pytest.mark.unit

PORT = 'k:{"containerPort":80,"protocol":"TCP"}'
TREE = {"f:spec": {".": {}, "f:ports": {PORT: {".": {}, "f:name": {}}}, "f:list": {'v:"a"': {}}}}
OBJECT = {
    "spec": {"ports": [{"containerPort": 80, "protocol": "TCP", "name": "web"}], "list": ["a", "b"]},
    "metadata": {"labels": {"app.kubernetes.io/name": "x"}},
}


def test_union_keeps_both_sides() -> None:
    """Nothing of either tree is lost."""
    joined = union(TREE, {"f:spec": {"f:list": {'v:"b"': {}}}, "f:data": {}})
    assert set(leaves(joined)) == {*leaves(TREE), ("f:spec", "f:list", 'v:"b"'), ("f:data",)}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("f:spec", "f:replicas"), "spec.replicas"),
        (("f:metadata", "f:labels", "f:app.kubernetes.io/name"), "metadata.labels[app.kubernetes.io/name]"),
        (("f:spec", "f:ports", PORT, "f:name"), "spec.ports[containerPort=80,protocol=TCP].name"),
        (("f:metadata", "f:finalizers", 'v:"a/b"'), 'metadata.finalizers["a/b"]'),
    ],
)
def test_paths_are_printed_as_people_write_them(path: tuple[str, ...], text: str) -> None:
    """`f:`, `k:` and `v:` are the API server's business."""
    assert printed(path) == text


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("f:spec", "f:ports", PORT, "f:name"), (True, "web")),
        (("f:spec", "f:ports", PORT, "f:none"), (False, None)),
        (("f:spec", "f:list", 'v:"b"'), (True, "b")),
        (("f:spec", "f:list", 'v:"c"'), (False, None)),
        (("f:spec", "f:list", "i:1"), (True, "b")),
        (("f:spec", "f:list", "i:2"), (False, None)),
        (("f:none", "f:none"), (False, None)),
        (("f:spec", "f:list", "f:none"), (False, None)),
    ],
)
def test_lookup(path: tuple[str, ...], found: tuple[bool, object]) -> None:
    """Paths lead into objects through keyed lists, sets and indices."""
    assert lookup(OBJECT, path) == found


def test_contains() -> None:
    """A path is owned when it or something below it is in the tree."""
    assert contains(TREE, ("f:spec", "f:ports"))
    assert not contains(TREE, ("f:spec", "f:ports", PORT, "f:protocol"))
