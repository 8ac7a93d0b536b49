"""A poke is always followed by a run that began after it."""

from __future__ import annotations

import pytest

from tests.support.registry import SHARD, Registry, record, ref
from tests.support.wait import until

pytestmark = pytest.mark.unit


def test_a_poke_makes_a_waiting_ref_due(registry: Registry) -> None:
    """It runs now, and why is told."""
    registry.settled(record("a"))
    assert registry.state.poke([ref("a")], "webhook from github") == 1
    assert [(run.ref, run.why) for run in registry.claim()] == [(ref("a"), "webhook from github")]


def test_pokes_of_a_waiting_ref_coalesce(registry: Registry) -> None:
    """One run, with each reason once."""
    registry.settled(record("a"))
    for why in ("webhook", "drift", "webhook"):
        registry.state.poke([ref("a")], why)
    assert [run.why for run in registry.claim()] == ["webhook, drift"]


def test_the_list_of_reasons_is_bounded(registry: Registry) -> None:
    """A thousand different pokes do not make a message of their size."""
    registry.settled(record("a"))
    for i in range(1000):
        registry.state.poke([ref("a")], f"drift of object {i}")
    assert len(registry.claim()[0].why) < 400


def test_a_queued_run_will_do(registry: Registry) -> None:
    """It begins after the poke; nothing is run twice, and the run is told both reasons."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "first")
    run = registry.claim()[0]
    registry.state.poke([ref("a")], "second")
    given = registry.state.start(SHARD, run.ref, run.fence)
    assert given is not None
    assert given.why == "first, second"
    assert registry.finish(run) == "idle"
    assert registry.claim() == []


def test_a_poke_of_a_running_ref_runs_it_again(registry: Registry) -> None:
    """The run may have looked before the change: it ends dirty and is due at once."""
    registry.settled(record("a"))
    run = registry.started("a")
    registry.state.poke([ref("a")], "new artifact", urgent=True)
    assert registry.claim() == []
    assert registry.finish(run, next_ms=3_600_000) == "dirty"
    assert [(again.why, again.urgent) for again in registry.claim()] == [("new artifact", True)]


def test_a_poke_takes_a_ref_out_of_a_sweep(registry: Registry) -> None:
    """A sweep only reads, so a run of its own need not wait for it; the sweep's result for the ref is ignored."""
    registry.settled(record("a", every_ms=300), record("b", every_ms=300), sweepable=True)
    until(lambda: registry.state.depths()[2].due == 2, message="all are due")
    sweep = until(lambda: registry.state.claim(SHARD).sweeps, message="due by interval")[0]
    registry.state.poke([ref("a")], "drift", urgent=True)
    run = registry.claim()[0]
    assert run.ref == ref("a")
    assert registry.state.settle(SHARD, sweep.fence, sweep.refs) == 1
    assert registry.state.live([ref("a"), ref("b")]) == {ref("a"): "queued"}
    assert registry.state.depths()[2].live == 1


@pytest.mark.parametrize("refs", [[ref("unknown")], []])
def test_unknown_refs_are_not_poked(registry: Registry, refs: list[str]) -> None:
    """They are nobody's; the rest of the call goes on."""
    assert registry.state.poke(refs, "test") == 0


def test_a_delayed_poke_is_due_later(registry: Registry) -> None:
    """More pokes may gather meanwhile; one without delay makes it due at once."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "events", delay_ms=30_000)
    assert 29 < registry.due_in("a") <= 30
    assert registry.claim() == []
    registry.state.poke([ref("a")], "webhook")
    assert [run.why for run in registry.claim()] == ["events, webhook"]


@pytest.mark.parametrize("begun", [False, True])
def test_a_delayed_poke_of_a_live_ref_counts_after_it(registry: Registry, begun: bool) -> None:
    """The live run does not stand for it, because it may end before the delay."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    run = registry.claim()[0]
    if begun:
        registry.state.start(SHARD, run.ref, run.fence)
    registry.state.poke([ref("a")], "events", delay_ms=30_000)
    registry.state.start(SHARD, run.ref, run.fence)
    assert registry.finish(run) == "dirty"
    assert 29 < registry.due_in("a") <= 30


def test_a_poke_wakes_beat_once(registry: Registry) -> None:
    """Hundreds of pokes leave one nudge."""
    registry.settled(*(record(str(i)) for i in range(300)))
    while registry.state.await_wake(0.01):
        pass
    registry.state.poke([ref(str(i)) for i in range(300)], "test")
    assert registry.state.await_wake(0.01)
    assert not registry.state.await_wake(0.01)


def test_a_delayed_poke_wakes_beat_so_that_it_waits_less(registry: Registry) -> None:
    """Beat would otherwise sleep past it."""
    registry.settled(record("a"))
    while registry.state.await_wake(0.01):
        pass
    registry.state.poke([ref("a")], "events", delay_ms=500)
    assert registry.state.await_wake(0.01)
    assert registry.state.claim(SHARD).wait <= 0.5


def test_dependents_are_poked_by_what_they_refer_to(registry: Registry) -> None:
    """Everything that refers to the target, however many there are, and nothing else."""
    registry.settled(*(record(str(i), targets=("GitRepository/apps/repo",)) for i in range(1200)), record("other"))
    assert registry.state.poke_dependents("GitRepository/apps/repo", "new artifact", urgent=True) == 1200
    runs = registry.claim(limit=2000, lane_cap=2000, cluster_cap=2000)
    assert len(runs) == 1200
    assert {run.why for run in runs} == {"new artifact"}
    assert registry.state.poke_dependents("Secret/apps/unused", "changed") == 0
