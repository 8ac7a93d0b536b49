"""Flux's switches of single objects: as label or annotation, in Git or on the cluster, in any case."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.kube.apply import prune
from tests.support.managed import GROUP, Managed, Object, config_map

pytestmark = pytest.mark.cluster

KEEPING = [("reconcile", "disabled"), ("reconcile", "Disabled"), ("ssa", "Ignore"), ("ssa", "ignore")]
FIELDS = ["labels", "annotations"]


def switched(managed: Managed, field: str, key: str, value: str, **data: str) -> Object:
    obj = config_map(managed, **data)
    return {**obj, "metadata": {**obj["metadata"], field: {f"{GROUP}/{key}": value}}}


def switch_on_cluster(managed: Managed, field: str, key: str, value: str) -> None:
    patch: dict[str, Any] = {"metadata": {field: {f"{GROUP}/{key}": value}}}
    managed.update_as("dashboard", config_map(managed), patch)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("key", "value"), KEEPING)
@pytest.mark.parametrize("where", ["git", "cluster"])
def test_left_alone(managed: Managed, field: str, key: str, value: str, where: str) -> None:
    """Neither updated nor pruned, whatever Git says; the object stays in the inventory."""
    managed.one(config_map(managed))
    wanted = config_map(managed, color="blue")
    if where == "git":
        wanted = switched(managed, field, key, value, color="blue")
    else:
        switch_on_cluster(managed, field, key, value)
    assert managed.one(wanted).action == "skipped"
    assert managed.live(wanted)["data"] == {"color": "red"}
    assert managed.ledger.entries
    if where == "cluster":
        pruned = prune(managed.target, managed.ledger.entries, managed.options())
        assert [change.action for change in pruned.changes] == ["skipped"]
        assert managed.live(wanted)["data"] == {"color": "red"}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", ["IfNotPresent", "ifnotpresent"])
def test_created_once(managed: Managed, field: str, value: str) -> None:
    """Created when it is missing, never updated."""
    assert managed.one(switched(managed, field, "ssa", value, color="red")).action == "created"
    assert managed.one(switched(managed, field, "ssa", value, color="blue")).action == "skipped"
    assert managed.live(config_map(managed))["data"] == {"color": "red"}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("value", "kept"), [("Merge", True), ("merge", True), ("Override", False), ("", False)])
def test_what_kubectl_added(managed: Managed, field: str, value: str, kept: bool) -> None:
    """Stays under Merge and goes under Override, which is the default."""
    obj = switched(managed, field, "ssa", value, color="red") if value else config_map(managed)
    managed.one(obj)
    managed.kubectl("patch", "configmap/sample", "-p", '{"data":{"extra":"1"}}')
    managed.one(obj)
    assert ("extra" in managed.live(obj)["data"]) is kept


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("where", ["git", "cluster"])
def test_never_pruned(managed: Managed, field: str, where: str) -> None:
    """Applied like any other, and stays when it leaves Git."""
    managed.one(switched(managed, field, "prune", "Disabled") if where == "git" else config_map(managed))
    if where == "cluster":
        switch_on_cluster(managed, field, "prune", "disabled")
    pruned = prune(managed.target, managed.ledger.entries, managed.options())
    assert [change.action for change in pruned.changes] == ["skipped"]
    assert managed.live(config_map(managed))["data"] == {"color": "red"}
