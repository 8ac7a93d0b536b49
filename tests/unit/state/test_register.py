"""What the registrar writes, and what of it asks for a run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleetbeat.state import Look, Registered
from tests.support.registry import SHARD, Registry, record, ref

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"generation": 2}, "generation 2"),
        ({"requested": "2026-01-01T00:00:00Z"}, "requested"),
        ({"deleting": True}, "deleted"),
        ({"uid": "uid-new"}, "created anew"),
        ({"cluster": "k-1"}, "moved to another cluster"),
    ],
)
def test_news_are_poked_urgently(registry: Registry, fields: dict[str, Any], why: str) -> None:
    """A run of its own, at once, that knows why."""
    registry.settled(record("a"))
    assert registry.state.register([record("a", rv="11", **fields)], registry.fence) == Registered(1, 1, 0)
    assert [(run.why, run.urgent) for run in registry.claim()] == [(why, True)]


@pytest.mark.parametrize("fields", [{}, {"obj": b'{"metadata":{"labels":{}}}'}, {"status": b'{"s":1}'}, {"rv": "10"}])
def test_nothing_new_asks_for_nothing(registry: Registry, fields: dict[str, Any]) -> None:
    """Labels and our own status writes make no run; the stored resource follows."""
    registry.settled(record("a"))
    assert registry.state.register([record("a", **{"rv": "11"} | fields)], registry.fence) == Registered(0, 0, 0)
    assert registry.claim() == []
    seen = registry.state.look(ref("a"))
    assert seen is not None
    assert seen.obj == fields.get("obj", b'{"metadata":{}}')


def test_a_new_resource_is_poked(registry: Registry) -> None:
    """It runs at once."""
    registry.add(record("a"))
    assert [(run.ref, run.why) for run in registry.claim()] == [(ref("a"), "created")]


@pytest.mark.parametrize("rv", ["9", "999"])
def test_older_records_are_refused(registry: Registry, rv: str) -> None:
    """resourceVersions are compared as numbers, of any length."""
    registry.settled(record("a", rv="1000"))
    late = record("a", rv=rv, generation=9, obj=b"{}")
    assert registry.state.register([late], registry.fence) == Registered(0, 0, 1)
    assert registry.claim() == []


def test_resource_versions_beyond_doubles_compare_exactly(registry: Registry) -> None:
    """2^53 and its successor differ."""
    registry.settled(record("a", rv="9007199254740993"))
    assert registry.state.register([record("a", rv="9007199254740992", generation=2)], registry.fence).refused == 1


def test_the_registered_status_is_taken_once(registry: Registry) -> None:
    """After that, finished runs know better than the hub."""
    registry.settled(record("a", status=b'{"s":1}'))
    registry.finish(registry.started("a"), status=b'{"s":2}')
    registry.add(record("a", rv="11", status=b'{"s":1}'))
    assert registry.state.looks([ref("a"), ref("unknown")]) == {
        ref("a"): Look(ref("a"), SHARD, "uid-a", 1, "hub", b'{"metadata":{}}', b'{"s":2}')
    }
    assert registry.state.look(ref("unknown")) is None


def test_the_index_follows_the_references(registry: Registry) -> None:
    """Old targets no longer poke, new ones do, and a forgotten ref has none."""
    registry.settled(record("a", targets=("Secret/apps/one", "ConfigMap/apps/two")))
    registry.add(record("a", rv="11", targets=("ConfigMap/apps/two", "Secret/apps/three")))
    poked = {
        t: registry.state.poke_dependents(t, "x")
        for t in ("Secret/apps/one", "ConfigMap/apps/two", "Secret/apps/three")
    }
    assert poked == {"Secret/apps/one": 0, "ConfigMap/apps/two": 1, "Secret/apps/three": 1}
    registry.state.forget(ref("a"), "uid-a", registry.fence)
    assert registry.state.poke_dependents("Secret/apps/three", "x") == 0


def test_clusters_are_known_while_something_lives_on_them(registry: Registry) -> None:
    """The last ref that leaves takes the cluster along."""
    registry.settled(record("a", cluster="k-1", reach=b'{"c":1}'), record("b", cluster="k-1", reach=b'{"c":1}'))
    assert registry.state.clusters() == {"k-1": b'{"c":1}'}
    assert registry.state.cluster("k-1") == b'{"c":1}'
    assert registry.state.members("k-1") == [ref("a"), ref("b")]
    registry.state.mark_observed(["k-1"])
    assert registry.state.observed()["k-1"] < 5
    registry.state.forget(ref("a"), "uid-a", registry.fence)
    assert registry.state.clusters()
    registry.add(record("b", rv="11"))
    assert (registry.state.clusters(), registry.state.observed()) == ({}, {})
    assert registry.state.cluster("hub") is None


def test_only_the_named_object_is_forgotten(registry: Registry) -> None:
    """A late deletion of its predecessor does not remove what bears the name now."""
    registry.settled(record("a"))
    assert not registry.state.forget(ref("a"), "uid-before", registry.fence)
    assert registry.state.known() == {ref("a"): "uid-a"}
    assert registry.state.forget(ref("a"), "uid-a", registry.fence)
    assert registry.state.known() == {}
    assert registry.state.poke([ref("a")], "test") == 0


@pytest.mark.parametrize(
    ("before", "after", "poked"),
    [
        ("", '"fleetbeat.io/confirm-prune":"abc"', True),
        ('"fleetbeat.io/confirm-prune":"abc"', '"fleetbeat.io/confirm-prune":"def"', True),
        ('"fleetbeat.io/prune-brake":"off"', "", True),
        ('"fleetbeat.io/a":"1","fleetbeat.io/b":"2"', '"fleetbeat.io/b":"2","fleetbeat.io/a":"1"', False),
        ('"team":"a"', '"team":"b"', False),
        ("", '"note":"\\"fleetbeat.io/confirm-prune\\":\\"abc\\""', False),
    ],
)
def test_our_own_annotations_take_effect_at_once(registry: Registry, before: str, after: str, poked: bool) -> None:
    """A person who set one need not ask for a run too; others' annotations make none."""

    def annotated(text: str) -> bytes:
        return f'{{"metadata":{{"annotations":{{{text}}}}}}}'.encode()

    registry.settled(record("a", obj=annotated(before)))
    registry.add(record("a", rv="11", obj=annotated(after)))
    assert [run.why for run in registry.claim()] == (["annotated"] if poked else [])


def test_a_ref_that_moves_remembers_where_it_was(registry: Registry) -> None:
    """Each cluster once, with how it was reached; what its runs remembered is of no use on another one."""
    registry.settled(record("a", cluster="k-1", reach=b'{"secret":"one"}'))
    registry.finish(registry.started("a"), memo=b'{"fp":{}}')
    for rv, cluster in ((11, "k-2"), (12, "k-1"), (13, "k-2")):
        registry.add(record("a", rv=str(rv), cluster=cluster, reach=b'{"secret":"%s"}' % cluster.encode()))
    (run,) = registry.claim()
    given = registry.state.start(SHARD, run.ref, run.fence)
    assert given is not None and given.memo is not None
    assert json.loads(given.memo) == {"moved": [["k-1", '{"secret":"one"}'], ["k-2", '{"secret":"k-2"}']]}


def test_a_run_at_work_as_its_ref_moves_writes_nothing(registry: Registry) -> None:
    """In the same shard too: what it found is about the other cluster. It runs again at once."""
    registry.settled(record("a", cluster="k-1"))
    run = registry.started("a")
    registry.add(record("a", rv="11", cluster="k-2"))
    assert registry.finish(run, status=b'{"s":1}', memo=b"{}") == "stale"
    (again,) = registry.claim()
    given = registry.state.start(SHARD, again.ref, again.fence)
    assert given is not None and given.memo is not None
    assert (given.status, given.cluster, json.loads(given.memo)) == (None, "k-2", {"moved": [["k-1", ""]]})


def test_a_ref_moves_to_another_shard_with_its_status(registry: Registry) -> None:
    """It is due there, and gone from here, with what was not told to the hub yet."""
    registry.settled(record("a"))
    registry.finish(registry.started("a"), status=b'{"s":1}', memo=b'{"m":1}')
    registry.add(record("a", rv="11", shard="apply-2", cluster="k-1"))
    assert registry.claim() == []
    run = registry.state.claim("apply-2").runs[0]
    given = registry.state.start("apply-2", run.ref, run.fence)
    assert given is not None
    assert (given.status, given.memo, given.cluster) == (b'{"s":1}', b'{"moved":[["hub",""]]}', "k-1")
    assert [(c.shard, c.ref) for c in registry.state.changed()] == [("apply-2", ref("a"))]


def test_a_run_at_work_delays_the_run_in_the_other_shard(registry: Registry) -> None:
    """Never two at once: the new one is due when the old one's lease ends, and the old one finishes stale."""
    registry.settled(record("a"))
    run = registry.started("a")
    registry.add(record("a", rv="11", shard="apply-2", cluster="k-1"))
    assert 29 < registry.due_in("a") <= 30
    assert registry.finish(run, status=b"{}") == "stale"
    assert registry.state.depths()[2].live == 0


def test_every_resource_of_a_kind_can_be_listed(registry: Registry) -> None:
    """Over all shards that the kind can be in."""
    registry.settled(record("a"), record("b", shard="apply-3", cluster="k-9"))
    registry.add(record("r", ref="Receiver/apps/r", shard="notify"))
    assert sorted(seen.ref for seen in registry.state.every("Kustomization")) == [ref("a"), ref("b")]
    assert [seen.ref for seen in registry.state.every("Receiver")] == ["Receiver/apps/r"]


def test_an_older_artifact_does_not_replace_a_newer_one(registry: Registry) -> None:
    """The fence of the source run that made it decides."""
    source = "GitRepository/apps/repo"
    assert registry.state.artifact(source) is None
    assert registry.state.publish_artifact(source, b'{"fence":2,"key":"k"}')
    assert not registry.state.publish_artifact(source, b'{"fence":1,"key":"k"}')
    assert registry.state.artifact(source) == b'{"fence":2,"key":"k"}'
