"""Ledgers that a process remembers: the last one of each resource, as long as there is room."""

from __future__ import annotations

import pytest

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.kube.ledger import Ledger, LedgerEntry
from fleetbeat.reconcile import ledgers
from fleetbeat.reconcile.ledgers import Ledgers

pytestmark = pytest.mark.unit


def ledger(name: str, objects: int = 1, rv: str = "1") -> Ledger:
    entries = {ObjectId("", "ConfigMap", "apps", str(i)): LedgerEntry("v1") for i in range(objects)}
    return Ledger(Ref("Kustomization", "apps", name), "hub", entries=entries, resource_version=rv)


def test_each_is_taken_once() -> None:
    """By its cluster and resource, as it was kept last."""
    kept = Ledgers()
    kept.keep("hub", ledger("a"))
    kept.keep("hub", ledger("a", rv="2"))
    kept.keep("edge", ledger("a", rv="3"))
    taken = kept.take("hub", Ref("Kustomization", "apps", "a"))
    assert taken is not None
    assert taken.resource_version == "2"
    assert kept.take("hub", taken.ref) is None
    assert kept.take("edge", taken.ref) is not None


def test_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all together have too many objects; one that is too large by itself is not kept at all."""
    monkeypatch.setattr(ledgers, "MOST_ENTRIES", 10)
    kept = Ledgers()
    for name in "abc":
        kept.keep("hub", ledger(name, objects=3))
    assert [kept.take("hub", ledger(name).ref) is not None for name in "abc"] == [False, True, True]
    kept.keep("hub", ledger("d", objects=10))
    assert kept.take("hub", ledger("d").ref) is None
