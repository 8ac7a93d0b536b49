"""A run's life: start, renew, finish."""

from __future__ import annotations

import pytest

from fleetbeat.state import Input, State
from fleetbeat.state.shards import SOURCE
from tests.support.registry import HOUR, SHARD, Registry, record, ref
from tests.support.wait import until

pytestmark = pytest.mark.unit


def test_a_run_starts_with_all_it_needs(registry: Registry) -> None:
    """Resource, last status, memo and the reason come in one call."""
    registry.settled(record("a", generation=7, cluster="k-1", obj=b'{"spec":{}}', status=b'{"s":1}'))
    registry.finish(registry.started("a"), memo=b'{"m":1}')
    registry.state.poke([ref("a")], "webhook")
    run = registry.claim()[0]
    given = registry.state.start(SHARD, run.ref, run.fence)
    assert given is not None
    assert given == Input(b'{"spec":{}}', b'{"s":1}', b'{"m":1}', "webhook", "uid-a", 7, "k-1", *given[7:])
    assert given.epoch.endswith(f":{registry.fence}")


def test_a_message_delivered_twice_starts_once(registry: Registry) -> None:
    """The second worker gets nothing."""
    registry.settled(record("a"))
    run = registry.started("a")
    assert registry.state.start(SHARD, run.ref, run.fence) is None


def test_a_superseded_message_starts_nothing(registry: Registry) -> None:
    """Its lease ended and another run was claimed."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    old = registry.claim(lease_seconds=0.05)[0]
    new = until(registry.claim, message="reaped")[0]
    assert registry.state.start(SHARD, old.ref, old.fence) is None
    assert registry.state.start(SHARD, new.ref, new.fence) is not None


def test_a_start_that_is_sent_again_by_the_client_is_the_same_start(registry: Registry) -> None:
    """A reply lost on the way does not lose the run."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    run = registry.claim()[0]
    replies = [registry.state.call("start", SHARD, run.ref, run.fence, nonce, 1000) for nonce in ("one", "one", "two")]
    assert replies[0][:8] == replies[1][:8]
    assert replies[0][8] <= replies[1][8]  # what the first was asked for is forgotten: later is the safe side
    assert replies[2] is None


def test_renewing_keeps_a_run_alive(registry: Registry) -> None:
    """It outlives its first lease; nobody else gets the ref."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    run = registry.claim()[0]
    registry.state.start(SHARD, run.ref, run.fence, 0.2)
    assert registry.state.renew(SHARD, run.ref, run.fence, 60)
    seen = registry.state.inspect(ref("a"))
    assert seen is not None
    assert seen.lease is not None
    assert 59_000 < seen.lease - seen.now <= 60_000


def test_an_expired_lease_that_nobody_took_can_be_renewed(registry: Registry) -> None:
    """A pause of the worker alone costs nothing."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    run = registry.claim()[0]
    registry.state.start(SHARD, run.ref, run.fence, 0.001)
    until(
        lambda: (seen := registry.state.inspect(ref("a"))) and seen.lease and seen.lease < seen.now, message="expired"
    )
    assert registry.state.renew(SHARD, run.ref, run.fence)
    assert registry.claim() == []


def test_a_superseded_run_can_neither_renew_nor_finish(registry: Registry) -> None:
    """It writes no status, no memo, no event, and does not disturb its successor."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    old = registry.claim()[0]
    registry.state.start(SHARD, old.ref, old.fence, 0.05)
    new = until(registry.claim, message="reaped")[0]
    assert not registry.state.renew(SHARD, old.ref, old.fence)
    assert registry.finish(old, status=b'{"old":1}', memo=b"{}", events=[b"{}"]) == "stale"
    assert registry.state.look(ref("a")).status is None  # type: ignore[union-attr]
    assert registry.state.events_after() == []
    assert registry.state.start(SHARD, new.ref, new.fence) is not None
    assert registry.finish(new) == "idle"
    assert registry.finish(new) == "stale"


@pytest.mark.parametrize(
    ("next_ms", "low", "high"),
    [(None, 3600 * 0.949, 3600 * 1.051), (30_000, 29.5, 30), (10 * HOUR, 35_999, 36_000), (0, -1, 0)],
)
def test_finish_arms_the_next_run(registry: Registry, next_ms: int | None, low: float, high: float) -> None:
    """At the interval, or earlier or later by what the run asks for."""
    registry.settled(record("a"))
    assert registry.finish(registry.started("a"), next_ms=next_ms) == "idle"
    assert low < registry.due_in("a") <= high


def test_again_at_once_wakes_beat(registry: Registry) -> None:
    """`next_ms=0` is claimed without waiting for beat's next round."""
    registry.settled(record("a"))
    run = registry.started("a")
    while registry.state.await_wake(0.01):
        pass
    registry.finish(run, next_ms=0)
    assert registry.state.await_wake(0.01)
    assert [again.why for again in registry.claim()] == [""]


def test_a_status_that_differs_is_marked_for_the_hub(registry: Registry) -> None:
    """An equal one is not, so that an unchanged run writes nothing."""
    registry.settled(record("a", status=b'{"s":1}'))
    registry.finish(registry.started("a"), status=b'{"s":1}')
    assert registry.state.changed() == []
    registry.finish(registry.started("a"), status=b'{"s":2}')
    assert [(c.ref, c.uid, c.status) for c in registry.state.changed()] == [(ref("a"), "uid-a", b'{"s":2}')]


@pytest.mark.parametrize(("memo", "kept"), [(None, b'{"m":1}'), (b'{"m":2}', b'{"m":2}'), (b"", None)])
def test_a_memo_is_kept_replaced_or_removed(registry: Registry, memo: bytes | None, kept: bytes | None) -> None:
    """None keeps it, empty removes it."""
    registry.settled(record("a"))
    registry.finish(registry.started("a"), memo=b'{"m":1}')
    registry.finish(registry.started("a"), memo=memo)
    assert registry.state.memos(SHARD, [ref("a"), ref("b")]) == {ref("a"): kept, ref("b"): None}


def test_events_reach_the_stream_in_order(registry: Registry) -> None:
    """Those of one run and those that belong to none."""
    registry.settled(record("a"))
    registry.finish(registry.started("a"), events=[b'{"n":1}', b'{"n":2}'])
    registry.state.emit([b'{"n":3}'])
    first, *rest = registry.state.events_after(limit=2)
    assert [first.data, *(e.data for e in rest)] == [b'{"n":1}', b'{"n":2}']
    assert [e.data for e in registry.state.events_after(rest[-1].id)] == [b'{"n":3}']


def test_a_run_suspended_before_it_began_does_not_begin(registry: Registry) -> None:
    """Its message is dropped, and it is neither due nor live, unless there is something to tell in its status."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    run = registry.claim()[0]
    registry.add(record("a", rv="11", suspended=True))
    assert registry.state.start(SHARD, run.ref, run.fence) is None
    seen = registry.state.inspect(ref("a"))
    assert seen is not None
    assert (seen.phase, seen.due, seen.suspended) == ("idle", None, True)


def test_a_resource_made_anew_gets_nothing_of_its_predecessor(registry: Registry) -> None:
    """The run of the deleted one finishes stale, and the new one runs after it, not beside it."""
    registry.settled(record("a"))
    old = registry.started("a")
    registry.state.forget(ref("a"), "uid-a", registry.fence)
    registry.add(record("a", rv="11", uid="uid-new"))
    assert registry.claim() == []
    assert registry.finish(old, status=b'{"old":1}') == "stale"
    assert registry.state.look(ref("a")).status is None  # type: ignore[union-attr]
    assert [run.why for run in registry.claim()] == ["created, test"]


def test_a_forgotten_ref_leaves_nothing(registry: Registry) -> None:
    """The run that was at work finishes stale and frees its place."""
    registry.settled(record("a"))
    run = registry.started("a")
    assert registry.state.forget(ref("a"), "uid-a", registry.fence)
    assert registry.finish(run, status=b"{}") == "stale"
    depth = registry.state.depths()[2]
    assert (depth.refs, depth.live, depth.leased, depth.due, depth.scheduled) == (0, 0, 0, 0, 0)


def test_a_settled_sweep_is_due_at_its_interval_or_at_once(registry: Registry) -> None:
    """Unchanged refs go back to the grid, the others run now and know why; the place is free when all are settled."""
    registry.settled(*(record(n, every_ms=300) for n in "abc"), sweepable=True)
    until(lambda: registry.state.depths()[2].due == 3, message="all are due")
    sweep = until(lambda: registry.state.claim(SHARD).sweeps, message="due by interval")[0]
    assert registry.state.settle(SHARD, sweep.fence, [ref("a")]) == 1
    assert registry.state.depths()[2].live == 1
    assert registry.state.settle(SHARD, sweep.fence, [ref("b")], {ref("c"): "drift: ConfigMap/apps/c"}) == 2
    assert registry.state.depths()[2].live == 0
    assert [(run.ref, run.why) for run in registry.claim()] == [(ref("c"), "drift: ConfigMap/apps/c")]
    assert registry.due_in("a") <= 0.33


def test_a_sweep_remembers_for_what_it_still_holds(registry: Registry) -> None:
    """Of a ref that was poked meanwhile, or of another sweep, nothing is written."""
    registry.settled(*(record(n, every_ms=300) for n in "abc"), sweepable=True)
    until(lambda: registry.state.depths()[2].due == 3, message="all are due")
    sweep = until(lambda: registry.state.claim(SHARD).sweeps, message="due by interval")[0]
    registry.state.poke([ref("b")], "webhook")
    registry.state.settle(SHARD, sweep.fence, [ref("c")])
    registry.state.remember(SHARD, sweep.fence, {ref(n): b"{}" for n in "abc"})
    registry.state.remember(SHARD, sweep.fence - 1, {ref("a"): b"1"})
    assert registry.state.memos(SHARD, [ref(n) for n in "abc"]) == {ref("a"): b"{}", ref("b"): None, ref("c"): None}


def test_a_source_is_told_when_it_was_poked_last(registry: Registry) -> None:
    """Before it was handed out, while it was queued, or, without a poke, when it was due: never later than that."""
    source = {"shard": SOURCE, "every_ms": 300}
    registry.add(record("a", **source))
    assert registry.state.poke([ref("a")], "webhook") == 1
    again = _ms(registry)
    registry.state.poke([ref("a")], "webhook")
    (run,) = registry.state.claim(SOURCE).runs
    given = registry.state.start(SOURCE, run.ref, run.fence)
    assert given is not None
    assert again <= given.asked <= given.now
    registry.state.finish(SOURCE, run.ref, run.fence)
    (run,) = until(lambda: registry.state.claim(SOURCE).runs, message="due by interval")
    claimed = _ms(registry)
    registry.state.poke([ref("a")], "webhook")
    given = registry.state.start(SOURCE, run.ref, run.fence)
    assert given is not None
    assert claimed <= given.asked <= given.now
    registry.state.finish(SOURCE, run.ref, run.fence)
    seen = registry.state.inspect(ref("a"))
    assert seen is not None
    (run,) = until(lambda: registry.state.claim(SOURCE).runs, message="due by interval")
    given = registry.state.start(SOURCE, run.ref, run.fence)
    assert given is not None
    assert (given.asked, given.asked <= given.now) == (seen.due, True)


def _ms(registry: Registry) -> int:
    seen = registry.state.inspect(ref("a"))
    assert seen is not None
    return seen.now


def test_a_lost_sweep_is_swept_again(registry: Registry) -> None:
    """Its refs do not turn into runs of their own, and its late result changes nothing."""
    registry.settled(*(record(n, every_ms=300) for n in "ab"), sweepable=True)
    until(lambda: registry.state.depths()[2].due == 2, message="all are due")
    lost = until(lambda: registry.state.claim(SHARD, lease_seconds=0.02).sweeps, message="due by interval")[0]
    again = until(lambda: registry.state.claim(SHARD).sweeps, message="the lost sweep is claimed again")[0]
    assert sorted(again.refs) == sorted(lost.refs)
    assert registry.state.settle(SHARD, lost.fence, lost.refs) == 0
    assert registry.state.settle(SHARD, again.fence, again.refs) == 2


def test_a_stateless_process_can_carry_on(registry: Registry) -> None:
    """Nothing of a run lives in the client: another process may finish it."""
    registry.settled(record("a"))
    run = registry.started("a")
    other = State(registry.url)
    assert other.finish(SHARD, run.ref, run.fence) == "idle"
    other.close()
