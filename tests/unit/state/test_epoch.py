"""Redis is never the truth: a wipe, a restart and a restored backup are noticed by every verb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from fleetbeat.errors import LostLease, Rebuilding, StateUnavailable
from fleetbeat.state import REGISTRAR, Answer, State
from tests.support.registry import HOUR, SHARD, Registry, rebuilt, record, ref
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.unit

VERBS: dict[str, Callable[[State], object]] = {
    "claim": lambda s: s.claim(SHARD),
    "poke": lambda s: s.poke([ref("a")], "x"),
    "poke_dependents": lambda s: s.poke_dependents("Secret/apps/s", "x"),
    "start": lambda s: s.start(SHARD, ref("a"), 1),
    "renew": lambda s: s.renew(SHARD, ref("a"), 1),
    "finish": lambda s: s.finish(SHARD, ref("a"), 1),
    "settle": lambda s: s.settle(SHARD, 1, [ref("a")]),
    "delay": lambda s: s.delay(SHARD, 1, [ref("a")], 1),
    "answer": lambda s: s.answer(SHARD, 1, {ref("a"): Answer(b"{}")}),
    "changed": lambda s: s.changed(),
    "ack": lambda s: s.ack([(SHARD, ref("a"), 1)]),
    "look": lambda s: s.look(ref("a")),
    "memos": lambda s: s.memos(SHARD, [ref("a")]),
    "publish_artifact": lambda s: s.publish_artifact("GitRepository/apps/r", b"{}"),
    "artifact": lambda s: s.artifact("GitRepository/apps/r"),
    "artifacts": lambda s: s.artifacts(["GitRepository/apps/r"]),
    "inspect": lambda s: s.inspect(ref("a")),
    "live": lambda s: s.live([ref("a")]),
    "depths": lambda s: s.depths(),
    "observed": lambda s: s.observed(),
}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A persistent server of this test alone."""
    with EmbeddedValkey(tmp_path, appendonly=True) as server:
        yield server


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_answers_rebuilding_without_an_epoch(redis_url: str, verb: str) -> None:
    """Nothing is decided from an empty Redis."""
    state = State(redis_url)
    assert state.rebuilding()
    with pytest.raises(Rebuilding):
        VERBS[verb](state)
    state.close()


def test_a_wiped_redis_is_noticed(registry: Registry) -> None:
    """FLUSHALL while everything is at work: nobody goes on, and the rebuilt registry has new fences."""
    registry.settled(record("a"))
    run = registry.started("a")
    registry.state.command("FLUSHALL")
    for verb in VERBS.values():
        with pytest.raises(Rebuilding):
            verb(registry.state)
    with pytest.raises(LostLease):
        registry.add(record("a"))
    registry.rebuild(record("a", deleting=True))
    assert registry.finish(run, status=b'{"old":1}') == "stale"
    assert registry.claim()[0].fence > run.fence


def test_a_restart_is_noticed_although_all_data_are_there(own: EmbeddedValkey) -> None:
    """The epoch names the server process."""
    with rebuilt(own.url, [record("a")]) as registry:
        registry.state.poke([ref("a")], "test")
        own.restart()
        assert registry.state.rebuilding()
        with pytest.raises(Rebuilding):
            registry.claim()
        registry.rebuild(record("a"))
        assert not registry.state.rebuilding()


def test_a_restored_backup_is_noticed(own: EmbeddedValkey, tmp_path: Path) -> None:
    """Leases, fences and statuses of yesterday are cleared by the new epoch."""
    with rebuilt(own.url, [record("a")]) as registry:
        old = registry.started("a")
        own.snapshot(tmp_path / "backup.rdb")
        registry.finish(old, status=b'{"s":1}')
        newer = registry.started("a")
        own.restore(tmp_path / "backup.rdb")
        with pytest.raises(Rebuilding):
            registry.finish(newer)
        registry.rebuild(record("a", status=b'{"s":1}', deleting=True))
        assert registry.state.start(SHARD, old.ref, old.fence) is None
        assert registry.finish(newer, status=b'{"late":1}') == "stale"
        again = registry.claim()[0]
        assert again.fence > newer.fence
        assert registry.state.look(ref("a")).status == b'{"s":1}'  # type: ignore[union-attr]


def test_a_stopped_redis_is_a_plain_error(own: EmbeddedValkey) -> None:
    """Its message holds no address and no password; everything works again when it is back."""
    with rebuilt(own.url, [record("a")]) as registry:
        own.stop()
        with pytest.raises(StateUnavailable, match=r"^Redis cannot be reached: \w+$"):
            registry.claim()
        own.start()
        with pytest.raises(Rebuilding):
            registry.claim()


def test_the_library_is_loaded_again_when_redis_lost_it(registry: Registry) -> None:
    """A server without persistence comes back without functions."""
    registry.settled(record("a"))
    registry.state.command("FUNCTION", "FLUSH")
    assert registry.state.poke([ref("a")], "test") == 1


def test_a_library_of_another_version_is_replaced(registry: Registry) -> None:
    """At the start of a process, not at every call."""
    other = "#!lua name=fleetbeat\nredis.register_function('fb_version', function() return 'old' end)"
    registry.state.command("FUNCTION", "LOAD", "REPLACE", other)
    State(registry.url).ensure_loaded()
    assert registry.claim() == []


def test_nothing_is_claimed_before_the_commit(redis_url: str) -> None:
    """Half a registry is none: its absentees would look deleted."""
    registry = Registry(redis_url)
    fence = registry.state.acquire(REGISTRAR, "test", 60)
    assert fence is not None
    registry.state.begin_epoch(fence)
    registry.state.register([record("a", deleting=True)], fence)
    with pytest.raises(Rebuilding):
        registry.claim()
    registry.state.commit_epoch(fence)
    assert [run.why for run in registry.claim()] == ["deleted"]
    registry.state.close()


def test_a_wipe_during_the_rebuild_is_noticed(redis_url: str) -> None:
    """The commit fails, whatever was registered since."""
    registry = Registry(redis_url)
    for lost_lease in (True, False):
        fence = registry.state.acquire(REGISTRAR, "test", 60)
        assert fence is not None
        registry.state.begin_epoch(fence)
        registry.state.command("DEL", "fb:rebuild", *(["fb:lease:registrar"] if lost_lease else []))
        with pytest.raises(LostLease if lost_lease else Rebuilding):
            registry.state.register([record("a")], fence)
        with pytest.raises(LostLease if lost_lease else Rebuilding):
            registry.state.commit_epoch(fence)
    registry.state.close()


def test_a_registrar_that_lost_its_role_writes_nothing(registry: Registry) -> None:
    """Neither records nor an epoch."""
    registry.settled(record("a"))
    registry.state.release(REGISTRAR, registry.fence)
    registry.state.acquire(REGISTRAR, "other", 60)
    attempts: list[Callable[[], object]] = [
        lambda: registry.add(record("b")),
        lambda: registry.state.forget(ref("a"), "uid-a", registry.fence),
        lambda: registry.state.begin_epoch(registry.fence),
        lambda: registry.state.commit_epoch(registry.fence),
    ]
    for attempt in attempts:
        with pytest.raises(LostLease):
            attempt()
    assert registry.state.known() == {ref("a"): "uid-a"}


def test_the_first_runs_of_an_epoch_are_spread(registry: Registry) -> None:
    """10 ms apart and within the interval; consumers leave sources a head start; deletions go first."""
    sources = [record(f"s{i}", ref=f"GitRepository/apps/s{i}", shard="source") for i in range(300)]
    consumers = [record(f"c{i}") for i in range(300)]
    begun = monotonic()
    registry.rebuild(*consumers, *sources, record("quick", every_ms=1000), record("gone", deleting=True))
    took = monotonic() - begun
    assert [run.ref for run in registry.claim()] == [ref("gone")]
    inspect = registry.state.inspect
    due = {r.ref: seen.due / 1000 for r in [*sources, *consumers] if (seen := inspect(r.ref)) and seen.due}
    of_sources, of_consumers = ([due[r.ref] for r in group] for group in (sources, consumers))
    assert 2 < max(of_sources) - min(of_sources) <= 3.1 + took
    assert max(of_sources) < min(of_consumers)
    assert 20 < max(of_consumers) - min(of_sources) <= 23.1 + took
    assert registry.due_in("quick") <= 1


def test_a_new_epoch_forgets_artifacts_but_neither_roles_nor_events(registry: Registry) -> None:
    """A consumer runs only on what its source published since."""
    registry.state.publish_artifact("GitRepository/apps/repo", b'{"fence":1}')
    registry.state.emit([b"{}"])
    reporter = registry.state.acquire("reporter", "test", 60)
    assert reporter is not None
    registry.rebuild()
    assert registry.state.artifact("GitRepository/apps/repo") is None
    assert len(registry.state.events_after()) == 1
    assert registry.state.renew_role("reporter", reporter, 60)


def test_the_registrar_publishes_artifacts_while_it_rebuilds(registry: Registry) -> None:
    """Those of suspended sources, which will not run."""
    source = "GitRepository/apps/repo"
    registry.state.begin_epoch(registry.fence)
    with pytest.raises(Rebuilding):
        registry.state.publish_artifact(source, b'{"fence":1}')
    assert registry.state.publish_artifact(source, b'{"fence":1}', registrar=registry.fence)
    registry.state.commit_epoch(registry.fence)
    assert registry.state.artifact(source) == b'{"fence":1}'


def test_resources_that_appear_during_a_rebuild_run_too(registry: Registry) -> None:
    """Whoever is registered has a due time, also when it was changed before the commit."""
    registry.state.begin_epoch(registry.fence)
    registry.add(record("a", every_ms=HOUR), record("b", every_ms=HOUR))
    registry.add(record("a", rv="11", generation=2))
    registry.state.commit_epoch(registry.fence)
    assert [(run.ref, run.urgent) for run in registry.claim()] == [(ref("a"), True)]
    assert registry.due_in("b") <= 21
