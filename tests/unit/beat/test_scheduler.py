"""The scheduler over a real Redis: what is due is published once, soon, and whatever happens."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from beat.scheduler import FleetScheduler
from fleetbeat.errors import Rebuilding, StateUnavailable
from tests.support.beats import Consumer, make_app, scheduler, start_beat
from tests.support.registry import SHARD, Registry, rebuilt, record, ref
from tests.support.wait import until
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.unit


@pytest.fixture
def registry(redis_url: str) -> Iterator[Registry]:
    """An empty registry with a committed epoch."""
    with rebuilt(redis_url) as found:
        yield found


@pytest.fixture
def consumer(redis_url: str) -> Iterator[Consumer]:
    """Takes what beat publishes."""
    with redis.Redis.from_url(redis_url) as client:
        yield Consumer(client)


def test_what_is_due_is_published_to_its_shard(registry: Registry, consumer: Consumer) -> None:
    """With task, id and reason as Flower shows them, without a result, in a message that a worker can run."""
    registry.settled(record("a"))
    registry.add(record("s", ref="GitRepository/apps/s", shard="source"))
    registry.state.poke([ref("a")], "webhook")
    with scheduler(registry.url) as beat:
        beat.tick()
    message = consumer.take(SHARD)
    assert message is not None
    shard, name, fence = message["args"]
    assert (shard, name) == (SHARD, ref("a"))
    assert registry.state.start(shard, name, fence) is not None
    shown = {key: message[key] for key in ("task", "id", "argsrepr", "kwargsrepr", "ignore_result")}
    assert shown == {
        "task": "apply.kustomization",
        "id": f"{ref('a')}#{fence}",
        "argsrepr": ref("a"),
        "kwargsrepr": "webhook",
        "ignore_result": True,
    }
    source = consumer.take("source")
    assert source is not None
    assert source["task"] == "source.git.fetch"


def test_a_sweep_is_one_message(registry: Registry, consumer: Consumer) -> None:
    """For all refs of the cluster that are due by their interval."""
    registry.settled(*(record(n, every_ms=200) for n in "abc"), sweepable=True)
    until(lambda: registry.state.depths()[2].due == 3, message="all are due")
    with scheduler(registry.url) as beat:
        beat.tick()
    message = consumer.take(SHARD)
    assert message is not None
    shard, cluster, _, refs, why = message["args"]
    assert (message["task"], shard, cluster, sorted(refs)) == ("apply.sweep", SHARD, "hub", [ref(n) for n in "abc"])
    assert why == ""
    assert consumer.waiting(SHARD) == 0


def test_two_beats_publish_each_run_once(registry: Registry, consumer: Consumer) -> None:
    """Without a leader and without a lock."""
    names = [str(i) for i in range(200)]
    registry.settled(*(record(n) for n in names))
    registry.state.poke([ref(n) for n in names], "test")
    caps = {"fleetbeat_cluster_cap": 1000, "fleetbeat_lane_caps": {SHARD: 1000}}

    def tick() -> None:
        with scheduler(registry.url, **caps) as beat:
            beat.tick()

    beats = [threading.Thread(target=tick) for _ in range(2)]
    for thread in beats:
        thread.start()
    for thread in beats:
        thread.join()
    taken = [message["args"][1] for _ in names if (message := consumer.take(SHARD))]
    assert sorted(taken) == sorted(ref(n) for n in names)
    assert consumer.waiting(SHARD) == 0


def test_caps_of_the_application_hold(registry: Registry, consumer: Consumer) -> None:
    """What does not fit stays due, and a queue that nobody consumes does not grow when leases end."""
    registry.settled(*(record(str(i)) for i in range(10)))
    registry.state.poke([ref(str(i)) for i in range(10)], "test")
    with scheduler(registry.url, fleetbeat_lane_caps={SHARD: 4}) as beat:
        for _ in range(3):
            beat.tick()
            for i in range(10):
                registry.state.command("ZADD", f"fb:{{{SHARD}}}:lease", "XX", 1, ref(str(i)))
    assert consumer.waiting(SHARD) == 4


def test_a_poke_wakes_a_waiting_beat(registry: Registry, consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for beat's next round, however long beat would have slept."""
    monkeypatch.setattr("beat.scheduler.LONGEST_WAIT", 5.0)
    registry.settled(record("a"))
    stop = threading.Event()

    def loop() -> None:
        with scheduler(registry.url) as beat:
            while not stop.is_set():
                beat.tick()

    thread = threading.Thread(target=loop)
    thread.start()
    took = []
    for _ in range(10):
        begun = time.monotonic()
        registry.state.poke([ref("a")], "webhook", urgent=True)
        message = consumer.take(SHARD, timeout=4)
        took.append(time.monotonic() - begun)
        assert message is not None
        fence = message["args"][2]
        registry.state.start(SHARD, ref("a"), fence)
        registry.state.finish(SHARD, ref("a"), fence)
    stop.set()
    registry.state.poke([ref("a")], "to end the wait")
    thread.join()
    assert statistics.median(took) < 1


def test_what_could_not_be_published_is_published_later(registry: Registry, tmp_path: Path) -> None:
    """The broker is away between claim and publication: the same fence goes out when it is back."""
    registry.settled(record("a"))
    registry.state.poke([ref("a")], "test")
    with EmbeddedValkey(tmp_path) as broker, scheduler(registry.url, broker=broker.url) as beat:
        broker.stop()
        assert beat.tick() > 0
        claimed = registry.state.inspect(ref("a"))
        assert claimed is not None
        assert claimed.phase == "queued"
        broker.start()
        with broker.client() as client:
            consumer = Consumer(client)
            until(lambda: beat.tick() == 0 and consumer.waiting(SHARD), message="published after all")
            message = consumer.take(SHARD)
        assert message is not None
        assert message["args"] == [SHARD, ref("a"), claimed.fence]


def test_a_lazy_scheduler_connects_to_nothing() -> None:
    """Celery makes one to print its banner."""
    beat = FleetScheduler(make_app("redis://127.0.0.1:1/0"), lazy=True)
    assert "apply-3" in beat.info


def test_beat_survives_a_redis_that_goes_and_comes_back_empty(tmp_path: Path) -> None:
    """No tick raises; while rebuilding nothing is published, then everything is."""
    with (
        EmbeddedValkey(tmp_path) as server,
        rebuilt(server.url, [record("a")]) as registry,
        scheduler(server.url) as beat,
        server.client() as client,
    ):
        registry.state.poke([ref("a")], "test")
        beat.tick()
        server.kill()
        assert beat.tick() > 0
        server.start()
        until(lambda: beat.tick() == 0, message="it is back")
        with pytest.raises(Rebuilding):
            registry.claim()
        registry.rebuild(record("a", deleting=True))
        consumer = Consumer(client)
        until(lambda: beat.tick() == 0 and consumer.waiting(SHARD), message="published again")


def test_killed_beats_and_a_wiped_redis_lose_nothing(tmp_path: Path) -> None:
    """Every poke is followed by a run that saw it, while beats die at random moments and Redis is wiped once."""
    names = [str(i) for i in range(20)]
    with EmbeddedValkey(tmp_path) as server, rebuilt(server.url, [record(n) for n in names]) as registry:
        version: dict[str, int] = defaultdict(int)
        seen: dict[str, int] = defaultdict(int)
        stop = threading.Event()
        version[ref("0")] += 1
        registry.state.poke([ref("0")], "first")
        worker = threading.Thread(target=work, args=(server, registry, version, seen, stop))
        worker.start()
        beats = [start_beat(server.url) for _ in range(2)]
        rng = random.Random(1)
        try:
            until(lambda: seen, timeout=120, message="the first beat is at work")
            for round_ in range(6):
                for _ in range(30):
                    name = ref(rng.choice(names))
                    version[name] += 1
                    registry.state.poke([name], "changed")
                if round_ == 2:
                    registry.state.command("FLUSHALL")
                    registry.rebuild(*(record(n, every_ms=500) for n in names))
                victim = beats[round_ % 2]
                victim.kill()
                victim.wait()
                beats[round_ % 2] = start_beat(server.url)
                stop.wait(rng.random())
            until(lambda: all(seen[n] >= version[n] for n in version), timeout=120, message="every poke was followed")
        finally:
            stop.set()
            for beat in beats:
                beat.kill()
                beat.wait()
            worker.join()


def work(
    server: EmbeddedValkey, registry: Registry, version: dict[str, int], seen: dict[str, int], stop: threading.Event
) -> None:
    """A worker that notes which version each run saw."""
    with server.client() as client:
        consumer = Consumer(client)
        while not stop.is_set():
            message = consumer.take(SHARD, timeout=0.2)
            with suppress(Rebuilding, StateUnavailable):
                run_one(registry, message, version, seen)


def run_one(registry: Registry, message: dict[str, Any] | None, version: dict[str, int], seen: dict[str, int]) -> None:
    """One message's run, if it is not stale."""
    if message is None:
        return
    shard, name, fence = message["args"]
    if registry.state.start(shard, name, fence) is None:
        return
    looked_at = version[name]
    if registry.state.finish(shard, name, fence, next_ms=3_600_000) != "stale":
        seen[name] = max(seen[name], looked_at)
