"""How fast beat dispatches, what it costs, and how much Redis holds.

    python -m bench.beat [--refs 100000] [--interval 300] [--seconds 20]

Starts an embedded Valkey, registers refs with specs of ~500 bytes and finishes one run of each with a status of ~900
bytes, so that Redis holds what it holds of a settled fleet. Then, with the real scheduler in a process of its own:

- wake-up: the time from a poke to its message in the queue while nothing else is due;
- storm: everything is due at once, and messages are taken away as they come;
- steady: what beat and Redis need of a core at the rate that the interval asks for, sweeps left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import redis
from celery import Celery

from beat.scheduler import FleetScheduler
from fleetbeat.state import Record, State, shards
from workers import transport
from workers.embedded.valkey import EmbeddedValkey

CLUSTERS = 1000
ROUTES = {"GitRepository": "source.git.fetch", "Kustomization": "apply.kustomization"}


def make_app(url: str, lane_cap: int) -> Celery:
    """The application with only what beat needs."""
    transport.install()
    app = Celery("bench", broker=url)
    app.conf.update(
        task_ignore_result=True,
        task_send_sent_event=False,
        broker_transport_options={"priority_steps": [0], "socket_timeout": 30},
        fleetbeat_redis_url=url,
        fleetbeat_routes=ROUTES,
        fleetbeat_sweeps={},
        fleetbeat_lane_caps=dict.fromkeys(shards.ALL, lane_cap),
        fleetbeat_cluster_cap=lane_cap,
    )
    return app


def records(count: int, every_ms: int) -> Iterator[Record]:
    """One source for nine consumers, spread over the clusters."""
    for i in range(count):
        source = f"GitRepository/team-{i // 1000:03}/source-{i // 10:05}"
        kind = "GitRepository" if i % 10 == 0 else "Kustomization"
        cluster = "hub" if i % 10 == 0 else f"k-{i % CLUSTERS:016x}"
        ref = source if i % 10 == 0 else f"Kustomization/team-{i // 1000:03}/application-{i:06}"
        yield Record(
            shard=shards.shard_of(kind, cluster),
            ref=ref,
            uid=f"{i:08x}-0000-4000-8000-{i:012x}",
            rv=str(100000 + i),
            generation=1,
            every_ms=every_ms,
            cluster=cluster,
            obj=json.dumps(spec(ref, i)).encode(),
            targets=() if i % 10 == 0 else (source,),
        )


def spec(ref: str, i: int) -> dict[str, Any]:
    """A custom resource of ~500 bytes without its status."""
    _, namespace, name = ref.split("/")
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"{i:08x}-0000-4000-8000-{i:012x}",
            "generation": 1,
            "resourceVersion": str(100000 + i),
            "finalizers": ["finalizers.fluxcd.io"],
        },
        "spec": {
            "interval": "5m",
            "path": f"./clusters/production/{name}",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": f"source-{i // 10:05}"},
            "timeout": "2m",
            "wait": True,
        },
    }


def status(i: int) -> bytes:
    """A status of ~900 bytes with conditions and a small inventory."""
    revision = f"main@sha1:{random.Random(i).getrandbits(160):040x}"
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "ReconciliationSucceeded",
        "message": f"Applied revision: {revision}",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }
    entries = [
        {"id": f"team_application-{i:06}_apps_{kind}", "v": "v1"} for kind in ("Deployment", "Service", "Ingress")
    ]
    return json.dumps(
        {
            "conditions": [condition, condition | {"type": "Healthy", "reason": "Succeeded"}],
            "inventory": {"entries": entries},
            "lastAppliedRevision": revision,
            "lastAttemptedRevision": revision,
            "observedGeneration": 1,
        }
    ).encode()


def fill(state: State, client: redis.Redis, count: int, every_ms: int) -> None:
    """Register everything and finish one run of each."""
    fence = state.acquire("registrar", "bench", 3600)
    assert fence is not None
    state.begin_epoch(fence)
    state.register(records(count, every_ms), fence)
    state.commit_epoch(fence)
    state.poke((r.ref for r in records(count, every_ms)), "first run")
    done = 0
    for shard in shards.ALL:
        while runs := state.claim(shard, 1000, lane_cap=count, cluster_cap=count).runs:
            finish(client, shard, ((run.ref, run.fence) for run in runs), (every_ms, 2 * every_ms), done)
            done += len(runs)
    while marks := state.changed(1000):
        state.ack((c.shard, c.ref, c.seq) for c in marks)


def finish(
    client: redis.Redis, shard: str, runs: Iterable[tuple[str, int]], due: tuple[int, int], number: int = 0
) -> None:
    """Start and finish runs in one pipeline; their next ones are due at random in the window `due`, in ms from now."""
    pipeline = client.pipeline(transaction=False)
    for i, (ref, fence) in enumerate(runs, number):
        pipeline.fcall("fb_start", 0, shard, ref, fence, "bench", 30000)
        pipeline.fcall("fb_finish", 0, shard, ref, fence, random.randrange(*due), 0, 1, status(i), 0, "")
    pipeline.execute()


def run_beat(url: str, lane_cap: int) -> None:
    """Beat's loop in a process of its own."""
    scheduler = FleetScheduler(make_app(url, lane_cap))
    while True:
        time.sleep(scheduler.tick())


def used_mb(client: redis.Redis) -> float:
    """MB of data in Redis."""
    memory: dict[str, Any] = client.info("memory")
    return float(memory["used_memory"]) / 1e6


@contextmanager
def beating(url: str, lane_cap: int, client: redis.Redis) -> Iterator[psutil.Process]:
    """Beat in a process of its own, at work or waiting for it."""
    beat = multiprocessing.get_context("spawn").Process(target=run_beat, args=(url, lane_cap), daemon=True)
    beat.start()
    try:
        while not client.info("clients")["blocked_clients"] and not sum(lengths(client).values()):
            if not beat.is_alive():
                raise SystemExit("beat does not start")
            time.sleep(0.05)
        yield psutil.Process(beat.pid)
    finally:
        beat.kill()
        beat.join()


def lengths(client: redis.Redis) -> dict[str, int]:
    """Messages in each queue."""
    return {shard: client.llen(shard) for shard in shards.ALL}


def cpu(process: psutil.Process) -> float:
    """CPU seconds used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def storm(client: redis.Redis, count: int, beat: psutil.Process) -> None:
    """Take messages away until there was one for each ref."""
    begun, used, taken = time.monotonic(), cpu(beat), 0
    while taken < count:
        for shard, length in lengths(client).items():
            client.ltrim(shard, 0, -length - 1)
            taken += length
        time.sleep(0.05)
    seconds, used = time.monotonic() - begun, cpu(beat) - used
    print(f"storm: {taken:,} claims dispatched in {seconds:.1f} s, {taken / seconds:,.0f}/s; beat's CPU {used:.1f} s")


def finish_all(state: State, client: redis.Redis, every_ms: int) -> None:
    """End whatever is live; the next runs are spread over the interval."""
    for shard in shards.ALL:
        live = state.command("HGETALL", f"fb:{{{shard}}}:run").items()
        for part in batched([(ref.decode(), int(run.split(b";", 1)[0])) for ref, run in live]):
            finish(client, shard, part, (0, every_ms))


def batched(runs: list[tuple[str, int]], size: int = 1000) -> Iterator[list[tuple[str, int]]]:
    """Portions of a list."""
    return (runs[i : i + size] for i in range(0, len(runs), size))


def steady(client: redis.Redis, seconds: float, beat: psutil.Process, server: psutil.Process) -> None:
    """What is used while the interval alone asks for runs."""
    before, begun, used, used_server = sum(lengths(client).values()), time.monotonic(), cpu(beat), cpu(server)
    time.sleep(seconds)
    took = time.monotonic() - begun
    rate = (sum(lengths(client).values()) - before) / took
    print(
        f"steady: {rate:,.0f} messages/s; beat {(cpu(beat) - used) / took:.1%} of a core,"
        f" Redis {(cpu(server) - used_server) / took:.1%}; beat's RSS {beat.memory_info().rss / 1e6:.0f} MB"
    )


def wake_up(state: State, client: redis.Redis, tries: int = 200) -> None:
    """From a poke to its message."""
    taken = []
    ref = "GitRepository/team-000/source-00000"
    for _ in range(tries):
        begun = time.monotonic()
        state.poke([ref], "webhook", urgent=True)
        found: Any = client.brpop([shards.SOURCE], timeout=4)
        taken.append((time.monotonic() - begun) * 1000)
        fence = int(json.loads(found[1])["headers"]["id"].rsplit("#", 1)[1])
        state.start(shards.SOURCE, ref, fence)
        state.finish(shards.SOURCE, ref, fence)
    taken.sort()
    print(f"wake-up: poke to message p50 {statistics.median(taken):.1f} ms, p95 {taken[int(tries * 0.95)]:.1f} ms")


def main() -> None:
    """Run all measurements and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refs", type=int, default=100_000)
    parser.add_argument("--interval", type=float, default=300.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the steady measurement")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, EmbeddedValkey(Path(directory)) as server:
        measure(server, args.refs, args.interval, args.seconds)


def measure(server: EmbeddedValkey, count: int, interval: float, seconds: float) -> None:
    """All measurements over one server."""
    state, client, every_ms = State(server.url), server.client(), round(interval * 1000)
    empty = used_mb(client)
    print(f"filling {count:,} refs (spec {len(json.dumps(spec('K/n/n', 1)))} B, status {len(status(1))} B)")
    begun = time.monotonic()
    fill(state, client, count, every_ms)
    print(f"filled in {time.monotonic() - begun:.0f} s")
    print(f"memory: {used_mb(client) - empty:.0f} MB in Redis for {count:,} refs")
    with beating(server.url, count, client):
        wake_up(state, client)
    state.poke((record.ref for record in records(count, every_ms)), "new revision", urgent=True)
    with beating(server.url, count, client) as beat:
        storm(client, count, beat)
    finish_all(state, client, every_ms)
    with beating(server.url, count, client) as beat:
        time.sleep(5)  # what became due before it started
        steady(client, seconds, beat, psutil.Process(server.pid))


if __name__ == "__main__":
    main()
