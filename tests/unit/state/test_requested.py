"""Requests share a sweep of their cluster: who joins, who is put off until when, and what an answer writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

import pytest

from fleetbeat.state import Answer, Claimed, Shares, Sweep
from tests.support.registry import SHARD, Registry, record, ref
from tests.support.wait import until

pytestmark = pytest.mark.unit

VERSIONS = count(1000)


def request(
    registry: Registry, *names: str, shard: str = SHARD, cluster: str = "hub", every_ms: int = 3_600_000
) -> None:
    """A new value of the annotation on each."""
    for name in names:
        rv = str(next(VERSIONS))
        registry.add(record(name, rv=rv, requested=f"at-{rv}", shard=shard, cluster=cluster, every_ms=every_ms))


def settled(registry: Registry, *names: str, cluster: str = "hub", every_ms: int = 3_600_000) -> None:
    """Refs that may be swept and are not due."""
    registry.settled(*(record(name, cluster=cluster, every_ms=every_ms) for name in names), sweepable=True)


def sweep_of(registry: Registry, *names: str) -> Sweep:
    """Request `names` and claim their sweep."""
    request(registry, *names)
    (found,) = registry.state.claim(SHARD).sweeps
    assert sorted(found.refs) == sorted(ref(name) for name in names)
    return found


def idle(registry: Registry) -> bool:
    """Whether nothing of requested sweeps is left behind."""
    found: list[bytes] = registry.state.command("KEYS", "fb:{apply-0}:ask*")
    return not found


def shares(claimed: Claimed) -> list[tuple[str, str, list[str]]]:
    """cluster, why and names of each sweep."""
    return sorted((s.cluster, s.why, sorted(r.rsplit("/", 1)[1] for r in s.refs)) for s in claimed.sweeps)


def test_requests_share_a_sweep_of_their_cluster(registry: Registry) -> None:
    """One message for each cluster, that says why."""
    settled(registry, "a", "b")
    settled(registry, "c", cluster="k-1")
    request(registry, "a", "b")
    request(registry, "c", cluster="k-1")
    claimed = registry.state.claim(SHARD)
    assert claimed.runs == []
    assert shares(claimed) == [("hub", "requested", ["a", "b"]), ("k-1", "requested", ["c"])]
    seen = registry.state.inspect(ref("a"))
    assert seen is not None
    assert (seen.phase, seen.why) == ("sweep", "requested")


def test_requests_are_not_mixed_with_intervals(registry: Registry) -> None:
    """Either is asked differently, and costs a message of its own."""
    settled(registry, "a", "b", every_ms=300)
    settled(registry, "c")
    until(lambda: registry.state.depths()[2].due == 2, message="due by interval")
    request(registry, "c")
    assert shares(registry.state.claim(SHARD)) == [("hub", "", ["a", "b"]), ("hub", "requested", ["c"])]


@pytest.mark.parametrize("other", ["drift", "webhook"])
def test_another_reason_means_a_run(registry: Registry, other: str) -> None:
    """Only what was requested and nothing else can be answered by looking."""
    settled(registry, "a")
    registry.state.poke([ref("a")], other)
    request(registry, "a")
    claimed = registry.state.claim(SHARD)
    assert (claimed.sweeps, [run.why for run in claimed.runs]) == ([], [f"{other}, requested"])


def test_what_may_not_be_swept_runs(registry: Registry) -> None:
    """The last run did not allow it."""
    registry.settled(record("a"), sweepable=False)
    request(registry, "a")
    assert [(run.why, run.urgent) for run in registry.claim()] == [("requested", True)]


def test_a_requested_source_runs(registry: Registry) -> None:
    """Whoever asks for a source wants it fetched."""
    name = "GitRepository/apps/repo"
    registry.add(record("", ref=name, shard="source", uid="uid-r"))
    run = registry.state.claim("source").runs[0]
    registry.state.start("source", name, run.fence)
    registry.state.finish("source", name, run.fence, shares=Shares.ALL)
    registry.add(record("", ref=name, shard="source", uid="uid-r", rv="11", requested="now"))
    claimed = registry.state.claim("source")
    assert ([run.ref for run in claimed.runs], claimed.sweeps) == ([name], [])


def test_requests_gather_while_a_sweep_lives(registry: Registry) -> None:
    """They wait for its end and a pause after it, of which beat is told, and then go together."""
    settled(registry, *"abcd")
    first = sweep_of(registry, "a", "b")
    request(registry, "c")
    claimed = registry.state.claim(SHARD)
    assert (claimed.runs, claimed.sweeps) == ([], [])
    assert 0 < claimed.wait <= 1
    request(registry, "d")
    assert registry.state.claim(SHARD).sweeps == []
    registry.state.settle(SHARD, first.fence, [ref("a")])
    assert registry.state.claim(SHARD).sweeps == []
    while registry.state.await_wake(0.01):
        pass
    registry.state.answer(SHARD, first.fence, {ref("b"): Answer(b"{}")})
    assert registry.state.await_wake(0.01)
    request(registry, "a")
    claimed = until(claims_of(registry), message="swept after a pause")
    assert shares(claimed) == [("hub", "requested", ["a", "c", "d"])]
    registry.state.settle(SHARD, claimed.sweeps[0].fence, claimed.sweeps[0].refs)
    assert idle(registry)


def claims_of(registry: Registry) -> Callable[[], Claimed | None]:
    """Claims again and again until there is a sweep; nothing but sweeps comes."""

    def claim() -> Claimed | None:
        claimed = registry.state.claim(SHARD)
        assert claimed.runs == []
        return claimed if claimed.sweeps else None

    return claim


def test_requests_of_a_long_sweep_and_of_its_pause_go_together(registry: Registry) -> None:
    """Whenever they came: a trickle of small sweeps is what the pause is against."""
    settled(registry, *"abcd")
    first = sweep_of(registry, "a")
    for name in "bc":
        request(registry, name)
        assert registry.state.claim(SHARD).sweeps == []
        time.sleep(0.7)
    assert registry.state.claim(SHARD).sweeps == [], "as long as it lives, and not only at the first try"
    registry.state.answer(SHARD, first.fence, {ref("a"): Answer(b"{}")})
    request(registry, "d")
    claimed = until(claims_of(registry), message="swept after a pause", interval=0.01)
    assert shares(claimed) == [("hub", "requested", ["b", "c", "d"])]


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.5])
def test_a_pause_is_a_multiple_of_the_sweep_before_it(registry: Registry, seconds: float) -> None:
    """So that looking at a large cluster, however few ask at a time, never takes most of the time; but it ends soon."""
    settled(registry, *"ab")
    begun = time.monotonic()
    first = sweep_of(registry, "a")
    time.sleep(seconds)
    registry.state.answer(SHARD, first.fence, {ref("a"): Answer(b"{}")})
    took, ended = time.monotonic() - begun, time.monotonic()
    request(registry, "b")
    until(claims_of(registry), message="swept after a pause", interval=0.005)
    assert min(5 * seconds, 1) - 0.02 <= time.monotonic() - ended
    assert time.monotonic() - ended <= min(5 * took, 1) + 1


def test_a_live_sweep_puts_off_nobody_else(registry: Registry) -> None:
    """Neither intervals and urgent runs of the cluster nor requests of other clusters wait for it."""
    settled(registry, "a", "b", "poked")
    settled(registry, "often", every_ms=300)
    settled(registry, "far", cluster="k-1")
    sweep_of(registry, "a")
    request(registry, "b")
    request(registry, "far", cluster="k-1")
    registry.state.poke([ref("poked")], "drift", urgent=True)
    until(lambda: (seen := registry.state.inspect(ref("often"))) and seen.due and seen.due <= seen.now)
    claimed = registry.state.claim(SHARD)
    assert [run.ref for run in claimed.runs] == [ref("poked")]
    assert shares(claimed) == [("hub", "", ["often"]), ("k-1", "requested", ["far"])]


def test_a_dead_sweep_puts_requests_off_for_seconds(registry: Registry) -> None:
    """Then they are swept without it, long before its lease ends."""
    settled(registry, "a", "b")
    dead = sweep_of(registry, "a")
    request(registry, "b")
    assert registry.state.claim(SHARD).sweeps == []
    assert registry.due_in("b") <= 1
    late = until(lambda: registry.state.claim(SHARD).sweeps, timeout=8, message="swept all the same")[0]
    assert (late.refs, late.why) == ([ref("b")], "requested")
    for sweep in (late, dead):
        assert registry.state.settle(SHARD, sweep.fence, sweep.refs) == 1
    assert idle(registry)


@pytest.mark.parametrize("what", ["poked", "suspended", "moved", "gone"])
def test_what_was_put_off_and_went_its_way_is_not_brought_back(registry: Registry, what: str) -> None:
    """The end of the sweep makes nobody due whom something else has taken up. Suspending is news of its own."""
    settled(registry, "a", "b")
    first = sweep_of(registry, "a")
    request(registry, "b")
    registry.state.claim(SHARD)
    rv = str(next(VERSIONS))
    if what == "poked":
        registry.state.poke([ref("b")], "drift", urgent=True)
        run = registry.claim()[0]
        assert run.why == "requested, drift"
        assert registry.state.start(SHARD, run.ref, run.fence)
        registry.state.poke([ref("b")], "requested", urgent=True)
    elif what == "suspended":
        registry.add(record("b", rv=rv, generation=2, suspended=True))
    elif what == "moved":
        registry.add(record("b", rv=rv, cluster="k-1"))
    else:
        registry.state.forget(ref("b"), "uid-b", registry.fence)
    registry.state.settle(SHARD, first.fence, first.refs)
    assert idle(registry)
    claimed = registry.state.claim(SHARD)
    assert claimed.sweeps == []
    whys = {"moved": ["requested, moved to another cluster"], "suspended": ["generation 2"]}
    assert [run.why for run in claimed.runs] == whys.get(what, [])


@pytest.mark.parametrize(
    ("why", "delay_ms", "claimed_as"),
    [("drift", 0, ["requested, drift"]), ("events", 30_000, ["requested, events"]), ("requested", 0, [])],
)
def test_a_poke_takes_a_ref_out_and_it_stays_requested(
    registry: Registry, why: str, delay_ms: int, claimed_as: list[str]
) -> None:
    """And urgent, however long the poke itself can wait; a newer request is for the next sweep to answer."""
    settled(registry, "a", "b")
    first = sweep_of(registry, "a", "b")
    registry.state.poke([ref("a")], why, delay_ms=delay_ms)
    claimed = registry.state.claim(SHARD)
    assert [(run.why, run.urgent) for run in claimed.runs] == [(reason, True) for reason in claimed_as]
    assert registry.state.answer(SHARD, first.fence, {r: Answer(b'{"s":1}') for r in first.refs}) == 1
    assert [change.ref for change in registry.state.changed()] == [ref("b")]
    if claimed_as:
        assert registry.state.claim(SHARD).sweeps == []
    else:
        (again,) = until(lambda: registry.state.claim(SHARD).sweeps, message="swept after a pause")
        assert again.refs == [ref("a")]


def test_a_lost_sweep_leaves_requests_that_run(registry: Registry) -> None:
    """With their reason, and each by itself: a sweep that never ends is not tried for ever."""
    settled(registry, "a", "b")
    request(registry, "a", "b")
    lost = registry.state.claim(SHARD, lease_seconds=0.05).sweeps[0]
    runs = until(registry.claim, message="the lost sweep is reaped")
    assert sorted((run.ref, run.why) for run in runs) == [(ref(n), "requested, its run was lost") for n in "ab"]
    assert registry.state.answer(SHARD, lost.fence, {r: Answer(b"{}") for r in lost.refs}) == 0
    assert idle(registry)


def test_what_a_sweep_cannot_answer_runs_urgently(registry: Registry) -> None:
    """With the reason that the sweep found."""
    settled(registry, "a")
    sweep = sweep_of(registry, "a")
    registry.state.settle(SHARD, sweep.fence, (), {ref("a"): "requested: revision moved"})
    assert [(run.why, run.urgent) for run in registry.claim()] == [("requested: revision moved", True)]


def test_an_answer_writes_what_a_run_writes(registry: Registry) -> None:
    """Status with one mark for the reporter, events in order, and the next run at the interval."""
    settled(registry, "a", "b")
    sweep = sweep_of(registry, "a", "b")
    answers = {ref("a"): Answer(b'{"a":1}', (b'{"n":1}', b'{"n":2}')), ref("b"): Answer(b'{"b":1}')}
    assert registry.state.answer(SHARD, sweep.fence, answers) == 2
    assert sorted((change.ref, change.status) for change in registry.state.changed()) == [
        (ref("a"), b'{"a":1}'),
        (ref("b"), b'{"b":1}'),
    ]
    assert [event.data for event in registry.state.events_after()] == [b'{"n":1}', b'{"n":2}']
    assert 359 < registry.due_in("a") == pytest.approx(registry.due_in("b"), abs=1)
    depth = registry.state.depths()[2]
    assert (depth.live, depth.leased) == (0, 0)


def test_an_answer_comes_once(registry: Registry) -> None:
    """A message delivered twice writes nothing twice."""
    settled(registry, "a")
    sweep = sweep_of(registry, "a")
    answers = {ref("a"): Answer(b'{"a":1}', (b"{}",))}
    assert [registry.state.answer(SHARD, sweep.fence, answers) for _ in range(2)] == [1, 0]
    assert len(registry.state.events_after()) == 1


def test_many_answers_go_in_portions(registry: Registry) -> None:
    """More than fit into one call."""
    names = [str(i) for i in range(250)]
    settled(registry, *names)
    sweep = sweep_of(registry, *names)
    assert registry.state.answer(SHARD, sweep.fence, {r: Answer(b"{}", (b"{}",)) for r in sweep.refs}) == 250
    assert len(registry.state.events_after(limit=1000)) == 250
