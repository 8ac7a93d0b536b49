"""Refs that wait for health share looks: who joins, when the next look is, and what its answer leaves behind."""

from __future__ import annotations

import time

import pytest

from fleetbeat.state import Answer, Claimed, Shares, Sweep
from fleetbeat.state.reasons import HEALTH, HEALTH_ALONE, health_reason, is_health
from tests.support.registry import HOUR, SHARD, Registry, record, ref
from tests.support.wait import until

pytestmark = pytest.mark.unit

CHANGED = health_reason("Deployment/apps/web changed")


def waiting(registry: Registry, *names: str, cluster: str = "hub", next_ms: int = HOUR) -> None:
    """Refs whose last run waits for health."""
    registry.add(*(record(name, cluster=cluster, every_ms=HOUR) for name in names))
    for run in registry.claim():
        assert registry.state.start(SHARD, run.ref, run.fence)
        registry.finish(run, shares=Shares.HEALTH, next_ms=next_ms)


def look_at(registry: Registry, *names: str) -> Sweep:
    """The look that all of `names` were poked for."""
    registry.state.poke([ref(name) for name in names], CHANGED)
    (found,) = registry.state.claim(SHARD).sweeps
    assert (sorted(found.refs), found.why) == (sorted(ref(name) for name in names), HEALTH)
    return found


def why(registry: Registry, name: str) -> str:
    seen = registry.state.inspect(ref(name))
    assert seen is not None
    return seen.why


def test_those_that_wait_share_a_look_of_their_cluster(registry: Registry) -> None:
    """Whether an object changed or the time has come."""
    waiting(registry, "b")
    waiting(registry, "c", cluster="k-1")
    waiting(registry, "a", next_ms=0)
    registry.state.poke([ref("b"), ref("c")], CHANGED)
    registry.state.poke([ref("b")], health_reason("Job/apps/other changed"))
    claimed: Claimed = registry.state.claim(SHARD)
    assert claimed.runs == []
    assert sorted((s.cluster, sorted(s.refs), s.why) for s in claimed.sweeps) == [
        ("hub", [ref("a"), ref("b")], HEALTH),
        ("k-1", [ref("c")], HEALTH),
    ]


@pytest.mark.parametrize("reason", ["drift: Deployment/apps/web changed", "requested", HEALTH_ALONE])
def test_whoever_is_to_do_more_than_look_runs(registry: Registry, reason: str) -> None:
    """Also where health is one reason of several."""
    waiting(registry, "a")
    registry.state.poke([ref("a")], CHANGED)
    registry.state.poke([ref("a")], reason)
    claimed = registry.state.claim(SHARD)
    assert (claimed.sweeps, [run.why for run in claimed.runs]) == ([], [f"{CHANGED}, {reason}"])


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [("", True), (CHANGED, True), (f"{CHANGED}, {HEALTH_ALONE}", True), (f"{CHANGED}, drift: gone", False)],
)
def test_a_run_knows_whether_it_only_looks(reasons: str, expected: bool) -> None:
    """By the joined reasons that it was handed."""
    assert is_health(reasons) is expected


def test_looks_do_not_wait_for_the_end_of_a_crowd(registry: Registry) -> None:
    """Those that are long overdue share one message of it, however many they are."""
    names = [f"w{number}" for number in range(30)]
    waiting(registry, *names, next_ms=0)
    seconds, _ = registry.state.command("TIME")
    for name in names:
        registry.state.command("ZADD", f"fb:{{{SHARD}}}:due:hub", int(seconds) * 1000 - 3000, ref(name))
    crowd = [f"u{number}" for number in range(8)]
    registry.add(*(record(name) for name in crowd))
    registry.state.poke([ref(name) for name in crowd], "webhook", urgent=True)
    claimed = registry.state.claim(SHARD, cluster_cap=4)
    assert [(len(sweep.refs), sweep.why) for sweep in claimed.sweeps] == [(30, HEALTH)]
    assert [run.urgent for run in claimed.runs] == [True] * 3


def test_looks_gather(registry: Registry) -> None:
    """For a moment after one was handed out, however quickly it ended."""
    waiting(registry, *"abc")
    first, begun = look_at(registry, "a"), time.monotonic()
    registry.state.answer(SHARD, first.fence, {ref("a"): Answer(None)})
    for name in "bc":
        registry.state.poke([ref(name)], CHANGED)
        assert registry.state.claim(SHARD).sweeps == []
    (second,) = until(lambda: registry.state.claim(SHARD).sweeps, message="a look at both", interval=0.005)
    assert sorted(second.refs) == [ref("b"), ref("c")]
    assert 0.2 <= time.monotonic() - begun <= 2


def test_one_look_at_a_time(registry: Registry) -> None:
    """The longer it takes, the more there are for the next; one that is dead holds up nobody for long."""
    waiting(registry, *"abcd")
    first, begun = look_at(registry, "a"), time.monotonic()
    registry.state.poke([ref("b")], CHANGED)
    while time.monotonic() < begun + 0.6:
        assert registry.state.claim(SHARD).sweeps == []
        time.sleep(0.05)
    registry.state.answer(SHARD, first.fence, {ref("a"): Answer(None)})
    ended = time.monotonic()
    registry.state.poke([ref("c")], CHANGED)
    (second,) = until(lambda: registry.state.claim(SHARD).sweeps, message="the next look", interval=0.005)
    assert sorted(second.refs) == [ref("b"), ref("c")]
    assert 0.45 <= time.monotonic() - ended <= 2
    registry.state.poke([ref("d")], CHANGED)
    (third,) = until(lambda: registry.state.claim(SHARD).sweeps, message="a look although one is dead", timeout=8)
    assert third.refs == [ref("d")]


def test_an_answer_that_waits_on_comes_back(registry: Registry) -> None:
    """With its memo, at its time, or when something changed during the look."""
    waiting(registry, "a", "b")
    found = look_at(registry, "a", "b")
    registry.state.poke([ref("b")], CHANGED)
    answer = Answer(None, memo=b'{"looks":2}', next_ms=60_000, shares=Shares.HEALTH)
    assert registry.state.answer(SHARD, found.fence, {ref("a"): answer, ref("b"): answer}) == 2
    assert registry.state.memos(SHARD, [ref("a")]) == {ref("a"): b'{"looks":2}'}
    assert 55 < registry.due_in("a") < 61
    assert registry.due_in("b") <= 0
    (again,) = until(lambda: registry.state.claim(SHARD).sweeps, message="another look")
    assert again.refs == [ref("b")]


def test_an_answer_that_is_ready_waits_for_its_interval(registry: Registry) -> None:
    """Whatever was poked for its health meanwhile. Dependents hear of it, and it may be swept like the settled ones."""
    waiting(registry, "a")
    registry.settled(record("b", targets=(ref("a"),)))
    found = look_at(registry, "a")
    registry.state.poke([ref("a")], CHANGED)
    answer = Answer(b'{"s":1}', memo=b"", wakes=(ref("b"),), news="dependency a is ready")
    assert registry.state.answer(SHARD, found.fence, {ref("a"): answer}) == 1
    assert [change.status for change in registry.state.changed()] == [b'{"s":1}']
    assert registry.state.memos(SHARD, [ref("a")]) == {ref("a"): None}
    assert registry.due_in("a") > 100
    assert why(registry, "a") == ""
    assert [(run.ref, run.why) for run in registry.claim()] == [(ref("b"), "dependency a is ready")]
    registry.add(record("a", rv="999", requested="now", every_ms=HOUR))
    assert [sweep.why for sweep in registry.state.claim(SHARD).sweeps] == ["requested"]


def test_another_poke_takes_it_out_of_the_look(registry: Registry) -> None:
    """What is found for it then is not written."""
    waiting(registry, "a")
    found = look_at(registry, "a")
    registry.state.poke([ref("a")], "drift", urgent=True)
    assert [run.why for run in registry.claim()] == ["drift"]
    assert registry.state.answer(SHARD, found.fence, {ref("a"): Answer(b"{}")}) == 0


def test_a_lost_look_leaves_runs(registry: Registry) -> None:
    """Each by itself: a look that never ends is not tried for ever."""
    waiting(registry, "a", "b")
    registry.state.poke([ref("a"), ref("b")], CHANGED)
    (lost,) = registry.state.claim(SHARD, lease_seconds=0.05).sweeps
    runs = until(registry.claim, message="the lost look is reaped")
    assert sorted((run.ref, run.why) for run in runs) == [(ref(n), "health, its run was lost") for n in "ab"]
    assert registry.state.answer(SHARD, lost.fence, {r: Answer(b"{}") for r in lost.refs}) == 0
