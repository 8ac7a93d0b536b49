"""The observer's decisions, without clusters."""

from __future__ import annotations

import pytest

from fleetbeat.hub import sightings
from fleetbeat.hub.memo import Kind, object_of, read
from fleetbeat.hub.observer import choose
from fleetbeat.hub.sightings import FREE, Fights

pytestmark = pytest.mark.unit

DEPLOYMENT = Kind("apps", "v1", "Deployment")
CONFIG_MAP = Kind("", "v1", "ConfigMap")
ROLE = Kind("rbac.authorization.k8s.io", "v1", "ClusterRole")


def test_memos_name_the_kinds_to_watch() -> None:
    """Namespaced, cluster-scoped, of the core group, and with a colon in the name."""
    memo = read(
        b'{"fp": {"ns_web_apps_Deployment@v1": "a", "ns_cfg__ConfigMap@v1": "b",'
        b' "_system__node_rbac.authorization.k8s.io_ClusterRole@v1": ""}, "full": 1.5, "healthy": {}}'
    )
    assert memo is not None
    assert set(memo.kinds()) == {DEPLOYMENT, CONFIG_MAP, ROLE}
    assert str(object_of("_system__node_rbac.authorization.k8s.io_ClusterRole@v1")) == "ClusterRole/system:node"


@pytest.mark.parametrize("raw", [None, b"", b"not json", b"[]", b'{"fp": 1}'])
def test_unreadable_memos_are_none(raw: bytes | None) -> None:
    """The next run writes another."""
    assert read(raw) is None


def test_awaited_objects() -> None:
    """Only while a health check waits for them."""
    memo = read(b'{"fp": {}, "health": {"waiting": {"ns_web_apps_Deployment": "v1"}, "looks": 3}}')
    assert memo is not None
    assert memo.awaits("ns_web_apps_Deployment")
    assert not memo.awaits("ns_db_apps_Deployment")


@pytest.mark.parametrize(
    ("budget", "chosen"),
    [(10, {"hub", "k-a", "k-b"}), (4, {"hub", "k-b"}), (2, {"hub"}), (1, {"k-b"}), (0, set())],
)
def test_the_budget_goes_to_the_hub_and_then_to_the_small(budget: int, chosen: set[str]) -> None:
    """A cluster is watched whole or not at all."""
    wanted = {"k-a": {DEPLOYMENT, CONFIG_MAP, ROLE}, "k-b": {ROLE}, "hub": {DEPLOYMENT, CONFIG_MAP}}
    found = choose(wanted, budget)
    assert set(found) == chosen
    assert all(found[cluster] == wanted[cluster] for cluster in chosen)


def test_a_fight_becomes_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first corrections are free, further ones wait ever longer, and one that waits is not asked for twice."""
    clock = [0.0]
    monkeypatch.setattr(sightings, "monotonic", lambda: clock[0])
    fights = Fights()
    key = "ns_web_apps_Deployment@v1"
    for _ in range(FREE):
        assert fights.pause("Kustomization/ns/a", key) == 0.0
        clock[0] += 0.2
    assert fights.pause("Kustomization/ns/a", key) == 2.0
    assert fights.pause("Kustomization/ns/a", key) is None
    clock[0] += 2.1
    assert fights.pause("Kustomization/ns/a", key) == 4.0
    assert fights.pause("Kustomization/ns/b", key) == 0.0
    clock[0] += 4.0 + sightings.CLOSE
    assert fights.pause("Kustomization/ns/a", key) == 0.0
