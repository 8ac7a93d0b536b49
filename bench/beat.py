"""How fast beat dispatches, what it costs, and how much Redis holds.

    python -m bench.beat [--refs 100000] [--interval 300] [--seconds 20]

Starts an embedded Valkey, registers refs with specs of ~500 bytes and finishes one run of each with a status of ~900 bytes, so
that everything is in Redis as in a settled fleet. Then three measurements with the real scheduler in a process of its own:

- storm: everything is poked at once; a drain takes messages and finishes runs, and the claims published a second are counted;
- steady: sources and retries spread over the interval; beat's CPU share at the rate that the interval asks for;
- wake-up: the time from a poke to its message in the queue while nothing else is due.
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
from pathlib import Path
from typing import Any

import psutil
import redis
from celery import Celery

from beat.scheduler import FleetScheduler
from fleetbeat.state import Record, State, shards
from workers.embedded.valkey import EmbeddedValkey

CLUSTERS = 1000
ROUTES = {"GitRepository": "source.git.fetch", "Kustomization": "apply.kustomization"}


def make_app(url: str, lane_cap: int) -> Celery:
    """The application with only what beat needs."""
    app = Celery("bench", broker=url)
    app.conf.update(
        task_ignore_result=True,
        task_send_sent_event=False,
        broker_transport_options={"priority_steps": [0], "socket_timeout": 30},
        fleetbeat_redis_url=url,
        fleetbeat_routes=ROUTES,
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
            finish(client, shard, ((run.ref, run.fence) for run in runs), every_ms, done)
            done += len(runs)
    while marks := state.changed(1000):
        state.ack((c.shard, c.ref, c.seq) for c in marks)


def finish(client: redis.Redis, shard: str, runs: Iterable[tuple[str, int]], every_ms: int, number: int) -> None:
    """Start and finish runs in one pipeline; their next ones are spread over the interval."""
    pipeline = client.pipeline(transaction=False)
    for i, (ref, fence) in enumerate(runs, number):
        pipeline.fcall("fb_start", 0, shard, ref, fence, "bench", 30000)
        pipeline.fcall("fb_finish", 0, shard, ref, fence, random.randrange(every_ms), 0, 1, status(i), 0, "")
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


def storm(state: State, client: redis.Redis, count: int, pid: int) -> None:
    """Everything due at once; queues are emptied as fast as they fill."""
    process = psutil.Process(pid)
    cpu = sum(process.cpu_times()[:2])
    begun = time.monotonic()
    poking = multiprocessing.Process(target=poke_all, args=(state_url(client), count))
    poking.start()
    taken = 0
    while taken < count:
        pipeline = client.pipeline(transaction=False)
        for shard in shards.ALL:
            pipeline.llen(shard)
        lengths = pipeline.execute()
        taken += sum(lengths)
        for shard, length in zip(shards.ALL, lengths, strict=True):
            if length:
                client.ltrim(shard, 0, -length - 1)
        time.sleep(0.02)
    seconds = time.monotonic() - begun
    cpu = sum(process.cpu_times()[:2]) - cpu
    poking.join()
    print(f"storm: {taken:,} claims published in {seconds:.1f} s = {taken / seconds:,.0f}/s, beat's CPU {cpu:.1f} s")


def state_url(client: redis.Redis) -> str:
    """The address that a client was made from."""
    args = client.connection_pool.connection_kwargs
    return f"redis://:{args['password']}@{args['host']}:{args['port']}/0"


def poke_all(url: str, count: int) -> None:
    """Poke every ref."""
    State(url).poke((r.ref for r in records(count, 1)), "new revision", urgent=True)


def finish_all(state: State, client: redis.Redis, every_ms: int) -> None:
    """End whatever is live."""
    for shard in shards.ALL:
        client.delete(shard)
        live = state.command("HGETALL", f"fb:{{{shard}}}:run")
        finish(client, shard, ((ref.decode(), int(run.split(b";", 1)[0])) for ref, run in live.items()), every_ms, 0)


def steady(client: redis.Redis, pid: int, seconds: float) -> None:
    """Beat's share of a core at the interval's own rate."""
    process = psutil.Process(pid)
    cpu, begun = sum(process.cpu_times()[:2]), time.monotonic()
    server = client.info("cpu")
    time.sleep(seconds)
    took = time.monotonic() - begun
    cpu = sum(process.cpu_times()[:2]) - cpu
    after = client.info("cpu")
    redis_cpu = sum(after[k] - server[k] for k in ("used_cpu_user", "used_cpu_sys"))
    sent = sum(client.llen(shard) for shard in shards.ALL)
    print(
        f"steady: {sent / took:,.0f} messages/s, beat {cpu / took:.1%} of a core,"
        f" Redis {redis_cpu / took:.1%}, beat's RSS {process.memory_info().rss / 1e6:.0f} MB"
    )


def wake_up(state: State, client: redis.Redis, tries: int = 100) -> None:
    """From a poke to its message."""
    taken = []
    ref = "GitRepository/team-000/source-00000"
    client.delete(shards.SOURCE)
    for _ in range(tries):
        begun = time.monotonic()
        state.poke([ref], "webhook", urgent=True)
        found = client.brpop([shards.SOURCE], timeout=5)
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
    state, client = State(server.url), server.client()
    empty = used_mb(client)
    print(f"filling {count:,} refs (spec {len(json.dumps(spec('K/n/n', 1)))} B, status {len(status(1))} B)")
    begun = time.monotonic()
    fill(state, client, count, round(interval * 1000))
    print(f"filled in {time.monotonic() - begun:.0f} s")
    print(f"memory: {used_mb(client) - empty:.0f} MB in Redis for {count:,} refs")
    beat = multiprocessing.Process(target=run_beat, args=(server.url, count), daemon=True)
    beat.start()
    assert beat.pid is not None
    try:
        wake_up(state, client)
        storm(state, client, count, beat.pid)
        finish_all(state, client, round(interval * 1000))
        steady(client, beat.pid, seconds)
    finally:
        beat.terminate()
        beat.join(5)


if __name__ == "__main__":
    main()
