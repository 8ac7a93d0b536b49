"""Suspended refs: one run for each new generation or request, so that their status can follow, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.state import Look
from tests.support.registry import SHARD, Registry, record, ref
from tests.support.wait import until

pytestmark = pytest.mark.unit


def suspended(**fields: Any) -> Any:
    """What the hub says after somebody suspended `a`."""
    return record("a", **{"rv": "11", "generation": 2, "suspended": True} | fields)


def whys(registry: Registry) -> list[str]:
    """Why runs are claimed now, all of which end at once; nothing is ever swept."""
    claimed = registry.state.claim(SHARD)
    assert claimed.sweeps == []
    for run in claimed.runs:
        assert registry.state.start(SHARD, run.ref, run.fence)
        assert registry.finish(run) == "idle"
    return [run.why for run in claimed.runs]


def rests(registry: Registry) -> bool:
    """Neither live nor due, now or ever."""
    seen = registry.state.inspect(ref("a"))
    assert seen is not None
    return seen.suspended and (seen.phase, seen.due, seen.why, seen.dirty) == ("idle", None, "", False)


def status_of(registry: Registry) -> bytes | None:
    """The stored status."""
    found = registry.state.look(ref("a"))
    assert isinstance(found, Look)
    return found.status


@pytest.mark.parametrize("sweepable", [False, True])
@pytest.mark.parametrize(
    ("first", "then", "why"),
    [
        ({"generation": 1, "suspended": False}, {"generation": 2}, "generation 2"),
        ({}, {"generation": 3}, "generation 3"),
        ({}, {"requested": "now"}, "requested"),
        ({"requested": "then"}, {"requested": "now"}, "requested"),
    ],
)
def test_news_of_a_suspended_ref_are_one_run(
    registry: Registry, sweepable: bool, first: dict[str, Any], then: dict[str, Any], why: str
) -> None:
    """Of its own, never part of a look that is shared; after it nothing is due, at no interval."""
    registry.settled(suspended(**first), sweepable=sweepable)
    registry.add(suspended(rv="12", **then))
    assert whys(registry) == [why]
    assert rests(registry)
    registry.add(suspended(rv="13", obj=b'{"metadata":{"labels":{}}}', **then))
    assert whys(registry) == []


@pytest.mark.parametrize(
    "then",
    [
        {"obj": b'{"metadata":{"labels":{}}}'},
        {"obj": b'{"metadata":{"annotations":{"fleetbeat.io/prune":"disabled"}}}'},
        {"requested": ""},
        {"status": b'{"s":2}'},
    ],
)
def test_nothing_else_is_news(registry: Registry, then: dict[str, Any]) -> None:
    """Labels, annotations of ours, statuses of others, a request that is taken back."""
    registry.settled(suspended(requested="then"))
    registry.add(suspended(rv="12", **{"requested": "then"} | then))
    assert rests(registry)


def test_suspending_without_a_new_generation_is_no_news(registry: Registry) -> None:
    """As an ArtifactGenerator's annotation does it; whatever it was due for is off."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "drift", urgent=True)
    registry.add(suspended(generation=1))
    assert rests(registry)


@pytest.mark.parametrize("phase", ["due", "queued", "running", "over"])
def test_pokes_mean_nothing_to_it(registry: Registry, phase: str) -> None:
    """Neither before that one run, nor beside it, nor after it."""
    registry.settled(record("a"))
    registry.add(suspended())
    if phase != "due":
        run = registry.claim()[0]
        if phase != "queued":
            assert registry.state.start(SHARD, run.ref, run.fence)
        if phase == "over":
            registry.finish(run)
    assert registry.state.poke([ref("a")], "drift", urgent=True) == 0
    if phase == "queued":
        given = registry.state.start(SHARD, run.ref, run.fence)
        assert given is not None
        assert given.why == "generation 2"
    if phase in ("queued", "running"):
        assert registry.finish(run) == "idle"
    if phase == "due":
        assert whys(registry) == ["generation 2"]
    assert rests(registry)


def test_a_run_that_was_live_ends_first(registry: Registry) -> None:
    """The one for the status comes after it and starts from what it wrote."""
    registry.settled(record("a", status=b'{"s":1}'))
    live = registry.started("a")
    registry.add(suspended())
    assert registry.claim() == []
    assert registry.finish(live, status=b'{"s":2}') == "dirty"
    run = registry.claim()[0]
    given = registry.state.start(SHARD, run.ref, run.fence)
    assert given is not None
    assert (given.status, given.generation) == (b'{"s":2}', 2)
    assert registry.finish(live, status=b'{"s":1}') == "stale"
    assert registry.finish(run, status=b'{"s":3}') == "idle"
    assert status_of(registry) == b'{"s":3}'
    assert rests(registry)


def test_a_queued_run_begins_as_that_one(registry: Registry) -> None:
    """Its message is under way already."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    run = registry.claim()[0]
    registry.add(suspended(obj=b'{"spec":{"suspend":true}}'))
    given = registry.state.start(SHARD, run.ref, run.fence)
    assert given is not None
    assert (given.obj, given.generation) == (b'{"spec":{"suspend":true}}', 2)
    assert registry.finish(run) == "idle"
    assert rests(registry)


def test_it_leaves_the_look_that_it_was_part_of(registry: Registry) -> None:
    """What that look finds is of no interest any more."""
    registry.settled(record("a"), record("b"), sweepable=True)
    registry.add(record("a", rv="11", requested="x"), record("b", rv="11", requested="x"))
    sweep = registry.state.claim(SHARD).sweeps[0]
    registry.add(suspended(rv="12", requested="x"))
    assert registry.state.settle(SHARD, sweep.fence, sweep.refs) == 1
    assert whys(registry) == ["requested, generation 2"]
    assert rests(registry)


@pytest.mark.parametrize("begun", [False, True])
def test_a_lost_run_comes_again(registry: Registry, begun: bool) -> None:
    """A worker that dies, or a message that is lost, leaves no status behind for good."""
    registry.settled(record("a"))
    registry.add(suspended())
    lost = registry.claim(lease_seconds=0.05)[0]
    if begun:
        assert registry.state.start(SHARD, lost.ref, lost.fence, 0.05)
    assert until(lambda: whys(registry), message="reaped") == ["generation 2, its run was lost"]
    assert rests(registry)


def test_news_beside_that_run_are_another_one(registry: Registry) -> None:
    """It may have read what was before."""
    registry.settled(record("a"))
    registry.add(suspended())
    run = registry.claim()[0]
    assert registry.state.start(SHARD, run.ref, run.fence)
    registry.add(suspended(rv="12", generation=3))
    registry.add(suspended(rv="13", generation=3, obj=b"{}"))
    assert registry.finish(run) == "dirty"
    assert whys(registry) == ["generation 3"]
    assert rests(registry)


def test_a_label_takes_nothing_away(registry: Registry) -> None:
    """The run that is due stays due."""
    registry.settled(record("a"))
    registry.add(suspended())
    registry.add(suspended(rv="12", obj=b'{"metadata":{"labels":{}}}'))
    assert whys(registry) == ["generation 2"]


@pytest.mark.parametrize("phase", ["due", "queued", "running", "over"])
def test_resuming_runs(registry: Registry, phase: str) -> None:
    """However far that one run has come; from then on it runs as before."""
    registry.settled(record("a"))
    registry.add(suspended())
    run = registry.claim()[0] if phase != "due" else None
    if run and phase != "queued":
        assert registry.state.start(SHARD, run.ref, run.fence)
    if run and phase == "over":
        registry.finish(run)
    registry.add(record("a", rv="12", generation=3))
    if run and phase == "running":
        assert registry.finish(run) == "dirty"
    if run and phase == "queued":
        given = registry.state.start(SHARD, run.ref, run.fence)
        assert given is not None
        assert given.generation == 3
        assert registry.finish(run) == "idle"
    else:
        assert whys(registry)[0].endswith("generation 3")
    assert 3000 < registry.due_in("a") < 4000


def test_it_moves_with_its_cluster(registry: Registry) -> None:
    """To the shard of the new one; it runs there, and is due nowhere else."""
    registry.settled(record("a"))
    registry.add(suspended())
    registry.add(suspended(rv="12", generation=3, cluster="k-1", shard="apply-1"))
    assert registry.claim() == []
    run = registry.state.claim("apply-1").runs[0]
    assert registry.state.start("apply-1", run.ref, run.fence)
    assert registry.state.finish("apply-1", run.ref, run.fence) == "idle"
    assert rests(registry)


def test_a_new_epoch_runs_it_once(registry: Registry) -> None:
    """Nobody knows whether its status had followed; it comes in the row of all others."""
    registry.rebuild(suspended(every_ms=200))
    assert whys(registry) == []
    assert until(lambda: whys(registry), message="its turn") == ["the registry was rebuilt"]
    assert rests(registry)


def test_a_thousand_of_them_cost_nothing(registry: Registry) -> None:
    """Nothing is due, leased or remembered of them beyond the resource; their flag is gone again."""
    names = [str(number) for number in range(1000)]
    registry.settled(*(record(name) for name in names))
    registry.add(*(record(name, rv="11", generation=2, suspended=True) for name in names))
    for run in registry.claim(limit=2000, lane_cap=10_000, cluster_cap=10_000):
        registry.state.start(SHARD, run.ref, run.fence)
        registry.finish(run)
    (depth,) = (depth for depth in registry.state.depths() if depth.shard == SHARD)
    assert (depth.refs, depth.due, depth.scheduled, depth.live, depth.leased) == (1000, 0, 0, 0, 0)
    keys = registry.state.command("KEYS", f"fb:{{{SHARD}}}:*")
    assert {key.decode().split(":")[2] for key in keys} == {"meta", "obj", "fence"}
    assert registry.state.command("HGET", f"fb:{{{SHARD}}}:meta", ref("7")).split(b";")[5] == b"s"
