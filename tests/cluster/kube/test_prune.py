"""Pruning on a real API server: what is deleted, and above all what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fleetbeat.api.refs import ObjectId
from fleetbeat.errors import LostLease
from fleetbeat.kube import marks
from fleetbeat.kube import prune as module
from fleetbeat.kube.apply import Pruned, prune
from fleetbeat.kube.ledger import LedgerEntry
from fleetbeat.kube.metadata import Live, still_there
from fleetbeat.kube.target import Target
from tests.support.managed import OTHER_HUB, Managed, Object
from tests.support.wait import until

pytestmark = pytest.mark.cluster

GROUP = "kustomize.toolkit.fluxcd.io"


def config_map(managed: Managed, name: str = "sample") -> Object:
    metadata = {"name": name, "namespace": managed.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"color": "red"}}


def prune_all(managed: Managed, **options: object) -> Pruned:
    return prune(managed.target, managed.ledger.entries, managed.options(**options))


def test_stale_objects_are_deleted(managed: Managed) -> None:
    """What the ledger names and still carries our labels goes, in reverse order of apply."""
    service = {**config_map(managed), "kind": "Service", "spec": {"ports": [{"port": 80}]}}
    del service["data"]
    managed.apply(config_map(managed), service)
    pruned = prune_all(managed)
    assert [(change.id.kind, change.action) for change in pruned.changes] == [
        ("Service", "deleted"),
        ("ConfigMap", "deleted"),
    ]
    assert not pruned.remaining
    assert not managed.exists(config_map(managed))


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        ({"labels": {marks.NAME: "another"}}, ""),
        ({"labels": {marks.NAMESPACE: "another"}}, ""),
        ({"labels": {marks.HUB: OTHER_HUB}}, ""),
        ({"labels": {marks.NAME: None, marks.NAMESPACE: None}}, ""),
        ({"annotations": {f"{GROUP}/prune": "disabled"}}, "skipped"),
        ({"labels": {f"{GROUP}/prune": "Disabled"}}, "skipped"),
        ({"annotations": {f"{GROUP}/reconcile": "disabled"}}, "skipped"),
        ({"annotations": {f"{GROUP}/ssa": "Ignore"}}, "skipped"),
    ],
)
def test_what_is_not_ours_or_marked_stays(managed: Managed, patch: Object, told: str) -> None:
    """Any doubt about whose an object is, and any mark to keep it, keeps it."""
    managed.apply(config_map(managed))
    managed.update_as("dashboard", config_map(managed), {"metadata": patch})
    pruned = prune_all(managed)
    assert managed.exists(config_map(managed))
    assert [change.action for change in pruned.changes] == ([told] if told else [])
    assert not pruned.remaining
    assert managed.client.stats["DELETE", "configmaps"] == 0


def test_an_object_that_changes_before_the_delete_is_looked_at_again(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relabelled between look and delete, an object stays: the delete names the version that was looked at."""
    managed.apply(config_map(managed))
    real: Callable[..., Live | None] = module.get_metadata
    looks = 0

    def look_then_lose(*args: object) -> Live | None:
        nonlocal looks
        looks += 1
        live = real(*args)
        if looks == 1:
            managed.update_as("dashboard", config_map(managed), {"metadata": {"labels": {marks.NAME: "another"}}})
        return live

    monkeypatch.setattr(module, "get_metadata", look_then_lose)
    pruned = prune_all(managed)
    assert (looks, pruned.changes) == (2, ())
    assert managed.exists(config_map(managed))


def test_an_object_made_anew_before_the_delete_stays(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted and created by somebody else in between, the new object is not ours to delete."""
    managed.apply(config_map(managed))
    real: Callable[..., Live | None] = module.get_metadata
    looks = 0

    def look_then_replace(*args: object) -> Live | None:
        nonlocal looks
        looks += 1
        live = real(*args)
        if looks == 1:
            managed.kubectl("delete", "configmap/sample")
            managed.kubectl("create", "configmap", "sample")
        return live

    monkeypatch.setattr(module, "get_metadata", look_then_replace)
    assert prune_all(managed).changes == ()
    assert managed.exists(config_map(managed))


def test_objects_that_stay_under_another_id_are_kept(managed: Managed) -> None:
    """One object under two ids (a kind that moved to another group) is recognised by its uid."""
    managed.apply(config_map(managed))
    entries = managed.ledger.entries
    kept = {entry.uid for entry in entries.values()}
    assert prune(managed.target, entries, managed.options(), kept).changes == ()
    assert managed.exists(config_map(managed))


def test_an_id_of_the_wrong_scope_deletes_nothing(managed: Managed) -> None:
    """A namespaced id of a cluster-scoped kind names no object, although its path would lead to one."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{managed.namespace}-x"}}
    managed.apply(namespace)
    wrong = ObjectId("", "Namespace", "default", f"{managed.namespace}-x")
    pruned = prune(managed.target, {wrong: LedgerEntry("v1")}, managed.options())
    assert (pruned.changes, pruned.remaining) == ((), {})
    assert not managed.live(namespace)["metadata"].get("deletionTimestamp")
    managed.client.delete(managed.path(namespace))


def test_gone_objects_and_kinds_are_forgotten(managed: Managed) -> None:
    """What does not exist any more needs no delete, and neither does an object whose kind is gone."""
    managed.apply(config_map(managed))
    managed.kubectl("delete", "configmap/sample")
    stale = {**managed.ledger.entries, ObjectId("gone.test", "Gone", managed.namespace, "x"): LedgerEntry("v1")}
    pruned = prune(managed.target, stale, managed.options())
    assert (pruned.changes, pruned.remaining, pruned.errors) == ((), {}, ())


def test_a_version_no_longer_served_is_found_under_the_preferred_one(managed: Managed) -> None:
    """The ledger's version may be retired; the object is the same."""
    managed.apply(config_map(managed))
    stale = {oid: replace(entry, version="v1alpha7") for oid, entry in managed.ledger.entries.items()}
    assert prune(managed.target, stale, managed.options()).changes[0].action == "deleted"


def test_refused_deletes_remain_and_are_told(managed: Managed) -> None:
    """A tenant that may not delete keeps the object in its inventory, with the reason."""
    managed.apply(config_map(managed))
    tenant = managed.client.impersonate(f"system:serviceaccount:{managed.namespace}:tenant")
    target = Target.of(managed.client, tenant, managed.target.discovery)
    pruned = prune(target, managed.ledger.entries, managed.options())
    assert pruned.remaining == dict(managed.ledger.entries)
    assert "delete failed" in pruned.errors[0]
    assert managed.exists(config_map(managed))


def test_a_lost_lease_deletes_nothing(managed: Managed) -> None:
    """The guard stands before every delete."""

    def guard() -> None:
        raise LostLease

    managed.apply(config_map(managed))
    with pytest.raises(LostLease):
        prune_all(managed, guard=guard)
    assert managed.exists(config_map(managed))


def test_termination_can_be_seen(managed: Managed) -> None:
    """`still_there` names what is being deleted and held by a finalizer, and nothing that stays for good."""
    held, marked = config_map(managed, "held"), config_map(managed, "marked")
    managed.apply(held, marked)
    managed.update_as("dashboard", held, {"metadata": {"finalizers": ["kube.test/hold"]}})
    managed.update_as("dashboard", marked, {"metadata": {"annotations": {f"{GROUP}/prune": "disabled"}}})
    prune_all(managed)
    assert still_there(managed.target, managed.ledger.entries) == {ObjectId.of(held): ("kube.test/hold",)}
    assert prune_all(managed).remaining == {}
    managed.update_as("dashboard", held, {"metadata": {"finalizers": None}})
    until(lambda: not still_there(managed.target, managed.ledger.entries))
