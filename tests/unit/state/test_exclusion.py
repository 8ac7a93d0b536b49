"""Two promises under stress: at most one live run for each ref, and after a poke a run or answer that began after it.

Beats, workers, pokers and a registrar at once; messages are lost and delivered twice, workers die and come late.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from fleetbeat.state import Answer, Shares, State
from fleetbeat.state.reasons import HEALTH
from tests.support.registry import HOUR, SHARD, Registry, record, ref
from tests.support.wait import until

pytestmark = pytest.mark.unit

REFS = [ref(str(i)) for i in range(6)]
LEASE = 0.4
ROUNDS = 8
POKES = 40


@dataclass
class Simulation:
    """What happened, as its participants saw it."""

    url: str
    restless: bool
    """Short intervals, and runs that ask to run again: sweeps come in, and every ref runs all the time."""
    clusters: int = 3
    """In one alone, requests wait for each other's sweep; in many, refs move about."""
    calm: threading.Event = field(default_factory=threading.Event)
    """Nothing new happens from now on."""
    stop: threading.Event = field(default_factory=threading.Event)
    messages: queue.Queue[tuple[str, Any]] = field(default_factory=queue.Queue)
    lock: threading.Lock = field(default_factory=threading.Lock)
    version: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """What a poke announces; grows before each poke."""
    seen: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """The version that finished runs, and answers to requests, have looked at."""
    live: dict[str, tuple[int, float]] = field(default_factory=dict)
    """ref → fence and the time until which its run may be at work."""
    violations: list[str] = field(default_factory=list)

    def begin(self, name: str, fence: int, asked: float) -> None:
        """A run starts to work; no other may still be at it."""
        with self.lock:
            other = self.live.get(name)
            if other and time.monotonic() < other[1]:
                self.violations.append(f"{name}: {fence} began beside {other[0]}")
            self.live[name] = (fence, asked + LEASE)

    def saw(self, name: str, version: int) -> None:
        """A run, or a sweep in its place, has dealt with all up to this version."""
        with self.lock:
            self.seen[name] = max(self.seen[name], version)

    def end(self, name: str, fence: int) -> None:
        """A run has stopped to work."""
        with self.lock:
            if self.live.get(name, (0, 0.0))[0] == fence:
                del self.live[name]


def beat(sim: Simulation, state: State, rng: random.Random) -> None:
    """Claims; loses some messages and sends others twice."""
    claimed = state.claim(SHARD, 5, lane_cap=8, cluster_cap=6, lease_seconds=LEASE)
    for message in [*(("run", run) for run in claimed.runs), *(("sweep", sweep) for sweep in claimed.sweeps)]:
        for _ in range(rng.choice((0, 1, 1, 1, 1, 2))):
            sim.messages.put(message)
    state.await_wake(min(claimed.wait, 0.05))


def worker(sim: Simulation, state: State, rng: random.Random) -> None:
    """Takes a message; dies at times, and otherwise finishes in one of many ways."""
    try:
        kind, message = sim.messages.get(timeout=0.02)
    except queue.Empty:
        return
    {"run": run, "sweep": sweep, "late": finish}[kind](sim, state, rng, message)


def sweep(sim: Simulation, state: State, rng: random.Random, message: Any) -> None:
    """Settles what it was given, or nothing; what was requested it answers, having looked at it."""
    _, fence, refs, why = message
    looked_at = {name: sim.version[name] for name in refs}
    poked = {name: "drift" for name in refs if rng.random() < 0.2}
    sim.stop.wait(rng.choice((0, 0.01, 0.05)))
    if rng.random() < 0.2:
        return
    unchanged = [name for name in refs if name not in poked]
    for name in unchanged if why else ():
        waits = {"shares": Shares.HEALTH, "next_ms": rng.choice((None, 5, 50))} if why == HEALTH else {}
        if state.answer(SHARD, fence, {name: Answer(b"%d" % fence, **waits)}):
            sim.saw(name, looked_at[name])
    state.settle(SHARD, fence, () if why else unchanged, poked)


def run(sim: Simulation, state: State, rng: random.Random, message: Any) -> None:
    """One run."""
    name, fence, _, _ = message
    asked = time.monotonic()
    if state.start(SHARD, name, fence, LEASE) is None:
        return
    sim.begin(name, fence, asked)
    looked_at = sim.version[name]
    sim.stop.wait(rng.choice((0, 0.002, 0.01, 0.03)))
    if rng.random() < 0.08:
        if rng.random() < 0.5:
            sim.messages.put(("late", (name, fence, looked_at)))
        return
    finish(sim, state, rng, (name, fence, looked_at))


def finish(sim: Simulation, state: State, rng: random.Random, message: Any) -> None:
    """The end of a run, which may come after its lease."""
    name, fence, looked_at = message
    sim.end(name, fence)
    next_ms = rng.choice((None, None, 0, 5, 50)) if sim.restless else None
    if (
        state.finish(SHARD, name, fence, status=b"%d" % fence, next_ms=next_ms, shares=rng.choice(list(Shares)))
        != "stale"
    ):
        sim.saw(name, looked_at)


def poker(sim: Simulation, state: State, rng: random.Random) -> None:
    """Something changed; then it says so."""
    if sim.calm.is_set():
        sim.stop.wait(0.005)
        return
    name = rng.choice(REFS)
    with sim.lock:
        sim.version[name] += 1
    why = rng.choice(("changed", "requested", "requested", "health: changed"))
    state.poke([name], why, urgent=why == "requested" or rng.random() < 0.3, delay_ms=rng.choice((0, 0, 0, 5)))
    sim.stop.wait(rng.random() * 0.01)


def registrar(registry: Registry) -> Callable[[Simulation, State, random.Random], None]:
    """New generations and requests come in between."""
    versions = iter(range(100, 10**9))

    def register(sim: Simulation, state: State, rng: random.Random) -> None:
        if sim.calm.is_set():
            sim.stop.wait(0.005)
            return
        sim.stop.wait(0.01)
        rv = next(versions)
        name = rng.choice(REFS).rsplit("/", 1)[1]
        every = rng.choice((HOUR, 200)) if sim.restless else HOUR
        cluster = f"k-{(int(name) + rng.choice((0, 0, 0, 1))) % sim.clusters}"
        generation, requested = rng.choice(((rv, ""), (1, str(rv))))
        found = record(name, rv=str(rv), generation=generation, every_ms=every, cluster=cluster, requested=requested)
        state.register([found], registry.fence)

    return register


def crowd(sim: Simulation, parts: list[Callable[[Simulation, State, random.Random], None]], seed: int) -> None:
    """Let every part loop in a thread of its own until it is told to stop."""

    def loop(part: Callable[[Simulation, State, random.Random], None], number: int) -> None:
        state, rng = State(sim.url), random.Random(seed * 100 + number)
        try:
            while not sim.stop.is_set():
                part(sim, state, rng)
        except Exception as error:
            sim.violations.append(f"{part.__name__}: {error!r}")
        state.close()

    threads = [threading.Thread(target=loop, args=(part, i)) for i, part in enumerate(parts)]
    for thread in threads:
        thread.start()
    try:
        pokes_until_quiet(sim)
    finally:
        sim.stop.set()
        for thread in threads:
            thread.join()


def pokes_until_quiet(sim: Simulation) -> None:
    """In several rounds, pokes for a while, then none, until the last one of every ref was followed by a run."""
    state, rng = State(sim.url), random.Random(0)
    for _ in range(ROUNDS):
        for _ in range(POKES):
            poker(sim, state, rng)
        sim.calm.set()
        until(
            lambda: sim.violations or all(sim.seen[name] >= sim.version[name] for name in REFS),
            timeout=20,
            interval=0.01,
            message="every poke was followed by a run",
        )
        sim.calm.clear()
    state.close()


@pytest.mark.parametrize("seed", range(4))
def test_one_live_run_and_no_lost_poke(registry: Registry, seed: int) -> None:
    """With an hour's interval, so that nothing but pokes, generations and lost leases asks for runs."""
    clusters = (1, 3, 3, 1)[seed]
    registry.settled(*(record(str(i), cluster=f"k-{i % clusters}") for i in range(len(REFS))), sweepable=True)
    sim = Simulation(registry.url, restless=False, clusters=clusters)
    crowd(sim, [beat, beat, worker, worker, worker, worker, poker if seed % 2 else registrar(registry)], seed)
    assert sim.violations == []


def test_nothing_leaks(registry: Registry) -> None:
    """When all is over every ref is due once, every place is free and every counter is at zero."""
    registry.settled(*(record(str(i), every_ms=200, cluster=f"k-{i % 3}") for i in range(len(REFS))), sweepable=True)
    sim = Simulation(registry.url, restless=True)
    crowd(sim, [beat, beat, worker, worker, worker, registrar(registry)], 7)
    assert sim.violations == []
    registry.add(*(record(str(i), rv="999999999999", generation=i, cluster="k-0") for i in range(len(REFS))))

    def quiet() -> bool:
        for claimed in registry.claim(lane_cap=100, cluster_cap=100):
            if registry.state.start(SHARD, claimed.ref, claimed.fence):
                registry.finish(claimed)
        return not registry.state.live(REFS)

    until(quiet, message="all leases ended")
    depth = registry.state.depths()[2]
    assert (depth.live, depth.leased, depth.due + depth.scheduled) == (0, 0, len(REFS))
    kept = {"front", "meta", "obj", "status", "memo", "fence", "due:k-0"}

    def left() -> set[str]:
        leftovers: list[bytes] = registry.state.command("KEYS", "fb:{apply-0}:*")
        return {name.decode().split("}:")[1] for name in leftovers}

    until(lambda: left() == kept, message="pauses have expired")
