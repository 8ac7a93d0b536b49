"""What a claim hands out, what it keeps back, and what it takes back."""

from __future__ import annotations

from itertools import pairwise

import pytest
import redis

from fleetbeat.state import State
from tests.support.registry import HOUR, SHARD, Registry, record, ref
from tests.support.wait import until

pytestmark = pytest.mark.unit


def names(registry: Registry, **options: int) -> list[str]:
    """Names of the claimed runs."""
    return [run.ref.rsplit("/", 1)[1] for run in registry.claim(**options)]


def test_nothing_is_claimed_before_it_is_due(registry: Registry) -> None:
    """A settled ref waits for its interval, and the claim says how long."""
    registry.settled(record("a", every_ms=100_000))
    claimed = registry.state.claim(SHARD)
    assert (claimed.runs, claimed.sweeps) == ([], [])
    assert registry.state.claim(SHARD).wait <= 60
    assert 94 < registry.due_in("a") < 106


def test_urgent_refs_come_first(registry: Registry) -> None:
    """An urgent poke overtakes whatever waits longer, in its cluster and before other clusters."""
    registry.settled(*(record(n) for n in "abc"), record("other", cluster="k-1"))
    registry.state.poke([ref("other"), ref("a"), ref("b")], "drift")
    registry.state.poke([ref("c")], "webhook", urgent=True)
    claimed = registry.claim(limit=1)
    assert [(run.ref, run.urgent, run.why) for run in claimed] == [(ref("c"), True, "webhook")]
    assert sorted(names(registry)) == ["a", "b", "other"]


def overdue(registry: Registry, *names: str) -> None:
    """They have been due for three seconds."""
    registry.state.poke([ref(name) for name in names], "due")
    seconds, _ = registry.state.command("TIME")
    for name in names:
        registry.state.command("ZADD", f"fb:{{{SHARD}}}:due:hub", int(seconds) * 1000 - 3000, ref(name))


def test_a_crowd_of_urgent_refs_leaves_a_part_to_those_long_overdue(registry: Registry) -> None:
    """Once in two seconds; else what is urgent still comes first."""
    crowd = [f"u{number}" for number in range(20)]
    registry.settled(*(record(name) for name in (*crowd, *"abcd")))
    registry.state.poke([ref(name) for name in crowd], "webhook", urgent=True)
    overdue(registry, *"abcd")
    first = registry.claim(cluster_cap=8)
    assert [(run.ref, run.urgent) for run in first[:2]] == [(ref("a"), False), (ref("b"), False)]
    assert [run.urgent for run in first[2:]] == [True] * 6
    assert all(run.urgent for run in registry.claim(cluster_cap=16))


def test_a_claimed_ref_is_not_claimed_again(registry: Registry) -> None:
    """Two beats never get the same ref."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    other = State(registry.url)
    assert names(registry) == ["a"]
    assert other.claim(SHARD).runs == []
    other.close()


def test_fences_grow_over_claims_and_epochs(registry: Registry) -> None:
    """A later run has a greater fence, also after Redis forgot the earlier one."""
    registry.settled(record("a"))
    first = registry.started("a")
    registry.finish(first)
    second = registry.started("a")
    registry.rebuild(record("a", deleting=True))
    third = registry.claim()[0]
    assert first.fence < second.fence < third.fence


def test_the_lane_cap_leaves_the_rest_due(registry: Registry) -> None:
    """What does not fit waits in the due-set and is claimed as runs end."""
    registry.settled(*(record(n) for n in "abcd"))
    registry.state.poke([ref(n) for n in "abcd"], "test")
    first = registry.claim(lane_cap=3)
    assert len(first) == 3
    assert registry.claim(lane_cap=3) == []
    assert registry.state.depths()[2].due == 1
    registry.state.start(SHARD, first[0].ref, first[0].fence)
    registry.finish(first[0])
    assert names(registry, lane_cap=3) == ["d"]


def test_the_cluster_cap_holds_back_one_cluster_alone(registry: Registry) -> None:
    """A cluster at its cap delays no other; its next ref goes when one of its runs ends."""
    registry.settled(*(record(n) for n in "abc"), record("other", cluster="k-1"))
    registry.state.poke([ref(n) for n in "abc"], "test", urgent=True)
    registry.state.poke([ref("other")], "test")
    first = registry.claim(cluster_cap=2)
    assert sorted(run.ref for run in first) == [ref("a"), ref("b"), ref("other")]
    held = registry.state.inspect(ref("c"))
    assert held is not None
    assert held.held
    assert registry.claim(cluster_cap=2) == []
    registry.state.start(SHARD, ref("a"), first[0].fence)
    registry.finish(first[0])
    assert names(registry, cluster_cap=2) == ["c"]


@pytest.mark.parametrize("cap", ["lane_cap", "cluster_cap"])
def test_a_run_that_ends_wakes_beat_when_a_cap_was_reached(registry: Registry, cap: str) -> None:
    """The next ref is claimed at once, not at beat's next round."""
    registry.settled(record("a"), record("b"))
    registry.state.poke([ref("a"), ref("b")], "test")
    run = registry.claim(**{cap: 1})[0]
    registry.claim(**{cap: 1})
    registry.state.start(SHARD, run.ref, run.fence)
    while registry.state.await_wake(0.01):
        pass
    registry.finish(run)
    assert registry.state.await_wake(0.01)


def test_a_full_queue_stops_claims(registry: Registry, redis_url: str) -> None:
    """Absent workers build no backlog: as many messages as the cap are enough, whatever became of their leases."""
    registry.settled(record("a"), record("b"))
    client = redis.Redis.from_url(redis_url)
    client.lpush("queue", "old", "older")
    registry.state.poke([ref("a"), ref("b")], "test")
    assert registry.state.claim(SHARD, lane_cap=2, queue="queue").runs == []
    client.delete("queue")
    client.close()
    while registry.state.await_wake(0.01):
        pass
    assert registry.state.start(SHARD, ref("a"), 1) is None
    assert registry.state.await_wake(0.01)
    assert len(registry.state.claim(SHARD, lane_cap=2, queue="queue").runs) == 2


def test_a_limit_leaves_more_for_the_next_claim(registry: Registry) -> None:
    """`wait` is 0 as long as more is due."""
    registry.settled(*(record(str(i)) for i in range(10)))
    registry.state.poke([ref(str(i)) for i in range(10)], "test")
    first = registry.state.claim(SHARD, 6)
    assert (len(first.runs), first.wait) == (6, 0)
    assert len(registry.claim()) == 4


def test_a_suspended_ref_is_not_claimed_until_it_resumes(registry: Registry) -> None:
    """Suspending takes it out of the due-set; pokes do not bring it back, resuming does."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    registry.add(record("a", rv="11", suspended=True))
    assert registry.state.poke([ref("a")], "webhook") == 0
    assert registry.claim() == []
    registry.add(record("a", rv="12", generation=2))
    assert names(registry) == ["a"]


def test_a_suspended_ref_that_is_deleted_runs(registry: Registry) -> None:
    """Its finalizer has to go."""
    registry.settled(record("a", suspended=True))
    registry.add(record("a", rv="11", suspended=True, deleting=True))
    assert [(run.why, run.urgent) for run in registry.claim()] == [("deleted", True)]


@pytest.mark.parametrize("begun", [False, True])
def test_an_expired_lease_is_reaped_and_the_ref_runs_again(registry: Registry, begun: bool) -> None:
    """A lost message and a dead worker heal in the same way, with the old reason and a new fence."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "webhook")
    lost = registry.claim(lease_seconds=0.05)[0]
    if begun:
        registry.state.start(SHARD, lost.ref, lost.fence, 0.05)
    again = until(registry.claim, message="the lost run is claimed again")[0]
    assert again.why == "webhook, its run was lost"
    assert again.fence > lost.fence
    assert registry.state.depths()[2].live == 1


def test_a_dirty_run_that_is_lost_keeps_all_its_reasons(registry: Registry) -> None:
    """What was asked for while it ran is not forgotten with it."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "first")
    run = registry.claim()[0]
    registry.state.start(SHARD, run.ref, run.fence, 0.05)
    registry.state.poke([ref("a")], "second", urgent=True)
    again = until(registry.claim, message="the lost run is claimed again")[0]
    assert again.urgent
    assert again.why == "second, first, its run was lost"


def test_the_wait_includes_the_end_of_a_lease(registry: Registry) -> None:
    """Beat comes back in time to reap."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    assert 1 < registry.state.claim(SHARD, lease_seconds=2).wait <= 2


def test_refs_due_by_their_interval_alone_share_a_sweep(registry: Registry) -> None:
    """One message for each cluster; a poked ref gets a run of its own."""
    registry.settled(*(record(n, every_ms=300) for n in "abc"), sweepable=True)
    registry.settled(*(record(n, every_ms=300, cluster="k-1") for n in "de"), sweepable=True)
    until(lambda: registry.state.depths()[2].due == 5, message="all are due")
    registry.state.poke([ref("c")], "webhook")
    claimed = registry.state.claim(SHARD)
    assert {(s.cluster, tuple(sorted(s.refs))) for s in claimed.sweeps} == {
        ("hub", (ref("a"), ref("b"))),
        ("k-1", (ref("d"), ref("e"))),
    }
    assert [run.ref for run in claimed.runs] == [ref("c")]


def test_a_sweep_has_a_size_and_counts_as_one_message(registry: Registry) -> None:
    """Of ten due refs a cap of two lets two sweeps of three go."""
    registry.settled(*(record(str(i), every_ms=300) for i in range(10)), sweepable=True)
    until(lambda: registry.state.depths()[2].due == 10, message="all are due")
    claimed = registry.state.claim(SHARD, lane_cap=2, sweep_size=3)
    assert [len(s.refs) for s in claimed.sweeps] == [3, 3]
    depth = registry.state.depths()[2]
    assert (depth.live, depth.leased, depth.due) == (2, 6, 4)


def test_refs_of_a_cluster_stay_on_one_grid(registry: Registry) -> None:
    """Refs of an interval, and of its double, are due together, 0.1 to 1.1 intervals from now."""
    registry.settled(*(record(str(i), every_ms=HOUR) for i in range(5)), sweepable=True)
    registry.settled(*(record(f"x{i}", every_ms=2 * HOUR) for i in range(5)), sweepable=True)
    due = {i: registry.due_in(f"{i}") for i in range(5)}
    twice = {i: registry.due_in(f"x{i}") for i in range(5)}
    assert max(due.values()) - min(due.values()) < 1
    assert 359 < min(due.values()) <= 3961
    offset = (twice[0] - due[0]) % 3600
    assert min(offset, 3600 - offset) < 1


def test_refs_of_a_group_are_due_together_and_groups_apart(registry: Registry) -> None:
    """Each group has its own place in the interval, the same at the double interval; so load is spread over groups."""
    groups = [f"{n:08x}" for n in range(20)]
    for every, prefix in ((HOUR, "a"), (2 * HOUR, "b")):
        records = (record(f"{prefix}{g}-{i}", every_ms=every, group=g) for g in groups for i in range(3))
        registry.settled(*records, sweepable=True)
    at = {g: registry.due_in(f"a{g}-0") for g in groups}
    for group, due in at.items():
        assert all(abs(registry.due_in(f"a{group}-{i}") - due) < 1 for i in range(3))
        offset = (registry.due_in(f"b{group}-0") - due) % 3600
        assert min(offset, 3600 - offset) < 1
    spread = sorted(at.values())
    assert spread[-1] - spread[0] > 1200
    assert max(b - a for a, b in pairwise(spread)) < 1800


def test_a_sweep_does_not_tear_a_group_apart(registry: Registry) -> None:
    """It grows over its size while the group lasts, up to four times; groups meet in one sweep while it has room."""
    sizes = {"aaaa": 2, "bbbb": 4, "cccc": 2, "dddd": 13}
    due = f"fb:{{{SHARD}}}:due:hub"
    records = [record(f"{group}-{i:02}", group=group) for group, size in sizes.items() for i in range(size)]
    registry.settled(*records, sweepable=True)
    for one in records:
        registry.state.command("ZADD", due, list(sizes).index(one.group) + 1, one.ref)
    registry.state.command("ZADD", f"fb:{{{SHARD}}}:front", 1, "hub")
    sweeps = registry.state.claim(SHARD, sweep_size=3).sweeps
    held = [{ref.rpartition("/")[2].partition("-")[0] for ref in sweep.refs} for sweep in sweeps]
    assert held == [{"aaaa", "bbbb"}, {"cccc", "dddd"}, {"dddd"}]
    assert [len(sweep.refs) for sweep in sweeps] == [6, 12, 3]


def test_without_sweeping_the_interval_is_jittered(registry: Registry) -> None:
    """Five percent either way, so that what started together does not stay together."""
    registry.settled(*(record(str(i)) for i in range(50)))
    due = [registry.due_in(str(i)) for i in range(50)]
    assert 3600 * 0.949 < min(due) < max(due) < 3600 * 1.051
    assert max(due) - min(due) > 100
