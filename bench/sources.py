"""What sources cost: thousands that have not changed, many of one tag, a large repository, a large chart index.

- *unchanged*: N GitRepositories over 50 URLs, whose intervals come round: CPU of the sweeping process for each, and
  round trips to the Git server.
- *one tag*: 500 OCIRepositories of one tag, from nothing, and after a push that wakes all of them: requests to the
  registry, and seconds until each has published, by one process.
- *large repository*: first artifact of 20,000 files, against `git clone --depth 1` and `tar | gzip` of it; then a
  change of one file.
- *chart index*: 50 MB of YAML, and the peak memory of the process that reads it.

    python -m bench.sources [N]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from rich.console import Console

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.artifacts.store import Source
from fleetbeat.hub.records import record_of as record_of_resource
from fleetbeat.reconcile import ocirepository
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.run import execute
from fleetbeat.reconcile.sourceartifact import Memo, record_of
from fleetbeat.reconcile.sourcesweep import sweep
from fleetbeat.settings import Settings
from fleetbeat.sources.git import Deadline, fetch
from fleetbeat.sources.oci.registry import Registry
from fleetbeat.state import REGISTRAR, Shares
from fleetbeat.state.shards import SOURCE
from tests.support import oci
from tools.gitrepo import GitRepo
from tools.gitserver import GitServer
from tools.registry import RegistryServer
from workers.embedded.s3 import EmbeddedS3
from workers.embedded.valkey import EmbeddedValkey

URLS = 50
INTERVAL_MS = 60_000
"""Longer than it takes to make all sources."""
FILES = 20_000
TAGGED_REFS = [f"OCIRepository/bench/tagged-{number:03}" for number in range(500)]
CHARTS, VERSIONS = 500, 100
DIGEST = "sha256:" + "0" * 64
TIME = "2026-01-01T00:00:00Z"
KIND = KINDS["GitRepository"]


def resource_of(number: int, url: str) -> dict[str, Any]:
    """A GitRepository."""
    meta = {
        "name": f"source-{number:05}",
        "namespace": "bench",
        "uid": f"uid-{number}",
        "generation": 1,
        "resourceVersion": "1",
    }
    spec = {"url": url, "interval": f"{INTERVAL_MS}ms", "ref": {"branch": "main"}}
    return {"apiVersion": KIND.api_version, "kind": KIND.name, "metadata": meta, "spec": spec}


def status_of(number: int, head: str) -> dict[str, Any]:
    """The status that a run at that commit leaves."""
    path = f"gitrepository/bench/source-{number:05}/{head}.tar.gz"
    artifact = {"path": path, "url": f"http://127.0.0.1/{path}", "revision": f"main@sha1:{head}", "digest": DIGEST}
    more = {"size": 1, "lastUpdateTime": TIME, "metadata": {}}
    ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored"}
    conditions = [ready | {"lastTransitionTime": TIME, "observedGeneration": 1}]
    return {"artifact": artifact | more, "conditions": conditions, "observedGeneration": 1}


def unchanged(count: int, directory: Path, out: Console) -> None:
    """One interval of `count` sources over URLS repositories."""
    with EmbeddedValkey(directory / "valkey") as valkey, GitServer(directory / "git") as git:
        os.environ |= {"FLEETBEAT_S3_BUCKET": "bench"}
        ctx = Context(Settings(redis_url=valkey.url, cache=directory / "cache"))
        repos = [git.create(f"repo-{number}") for number in range(URLS)]
        heads = [repo.commit({"a.yaml": "a: 1\n"}) for repo in repos]
        fill(ctx, count, repos, heads)
        before, used, settled, sweeps = git.counts(), time.process_time(), 0, 0
        while settled < count:
            for one in ctx.state.claim(SOURCE, 1000, lane_cap=count, cluster_cap=count).sweeps:
                settled += sweep(ctx, SOURCE, one.fence, one.refs).unchanged
                sweeps += 1
            time.sleep(0.2)
        cpu, asked = time.process_time() - used, (git.counts() - before).total()
        out.print(f"unchanged: {count} sources over {URLS} URLs, {1000 * cpu / count:.2f} ms CPU each")
        out.print(f"  {sweeps} sweeps, {asked} requests to the Git server, whose threads are in the figure")
        ctx.state.close()


def fill(ctx: Context, count: int, repos: list[GitRepo], heads: list[str]) -> None:
    """Register all, publish their artifacts and end one run of each, as if it had fetched."""
    fence = ctx.state.acquire(REGISTRAR, "bench", 3600)
    assert fence is not None
    numbered = [(number, f"{KIND.name}/bench/source-{number:05}") for number in range(count)]
    statuses = {ref: status_of(number, heads[number % URLS]) for number, ref in numbered}
    ctx.state.begin_epoch(fence)
    ctx.state.register(
        (
            record_of_resource(KIND, resource_of(number, repos[number % URLS].url) | {"status": statuses[ref]})
            for number, ref in numbered
        ),
        fence,
    )
    ctx.state.commit_epoch(fence)
    for number, ref in numbered:
        source = Source(KIND.name, "bench", f"source-{number:05}", f"uid-{number}")
        ctx.state.publish_artifact(ref, record_of(ctx.store, source, statuses[ref]["artifact"]))
    ctx.state.poke((ref for _, ref in numbered), "first run")
    memo = msgspec.json.encode(Memo(checked=time.time() + 3600))
    while runs := ctx.state.claim(SOURCE, 1000, lane_cap=count, cluster_cap=count).runs:
        for run in runs:
            ctx.state.start(SOURCE, run.ref, run.fence)
            ctx.state.finish(SOURCE, run.ref, run.fence, memo=memo, shares=Shares.ALL)


def one_tag(directory: Path, out: Console) -> None:
    """TAGGED OCIRepositories, in this process alone."""
    with ExitStack() as stack:
        valkey = stack.enter_context(EmbeddedValkey(directory / "valkey"))
        s3 = stack.enter_context(EmbeddedS3(directory / "s3"))
        registry = stack.enter_context(RegistryServer(directory / "registry"))
        seen = stack.enter_context(counted())
        for name in ("bucket", "endpoint", "access_key", "secret_key", "region"):
            os.environ[f"FLEETBEAT_S3_{name.upper()}"] = getattr(s3, name)
        ctx = Context(Settings(redis_url=valkey.url, cache=directory / "cache"))
        vars(ctx)["targets"] = SimpleNamespace(reader=None)  # nobody has a Secret
        register(ctx, registry.host)
        for number, what in enumerate(("created", "pushed, and woken by a webhook")):
            oci.push(registry, "org/app", "latest", {"app.yaml": f"a: {number}\n"})
            seen.clear()
            ctx.state.poke(TAGGED_REFS, what, urgent=True)
            used = time.process_time()
            took = timed(partial(drain, ctx))
            used = 1000 * (time.process_time() - used) / len(TAGGED_REFS)
            out.print(f"one tag: {len(TAGGED_REFS)} OCIRepositories {what}: {took:.1f} s, {used:.1f} ms CPU each")
            out.print(f"  requests to the registry: {dict(seen)}")
        ctx.state.close()


def register(ctx: Context, host: str) -> None:
    """All that follow the tag."""
    fence = ctx.state.acquire(REGISTRAR, "bench", 3600)
    assert fence is not None
    ctx.state.begin_epoch(fence)
    kind, records = KINDS["OCIRepository"], []
    for ref in TAGGED_REFS:
        meta = {"name": ref.rpartition("/")[2], "namespace": "bench", "uid": ref, "generation": 1}
        spec = {"url": f"oci://{host}/org/app", "insecure": True, "interval": "1h"}
        records.append(record_of_resource(kind, {"metadata": meta | {"resourceVersion": "1"}, "spec": spec}))
    ctx.state.register(records, fence)
    ctx.state.commit_epoch(fence)


def drain(ctx: Context) -> None:
    """Run whatever is due."""
    while runs := ctx.state.claim(SOURCE, 1000).runs:
        for run in runs:
            execute(ctx, ocirepository.PIPELINE, SOURCE, run.ref, run.fence)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Requests to registries, by method and what they are for."""
    seen: Counter[str] = Counter()
    ask = Registry._request

    def noted(self: Registry, method: str, rest: str, *args: Any) -> Any:
        seen[f"{method} {rest.partition('/')[0]}"] += 1
        return ask(self, method, rest, *args)

    Registry._request = noted  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Registry._request = ask  # type: ignore[method-assign]


def large_repository(directory: Path, out: Console) -> None:
    """First artifact and a change, against what git and tar need."""
    with GitServer(directory / "git") as git:
        repo = git.create("large")
        repo.commit(
            {f"dir-{n % 200:03}/file-{n:05}.yaml": f"kind: ConfigMap\nnumber: {n}\n" * 20 for n in range(FILES)}
        )
        floor = timed(lambda: clone(repo.url, directory / "clone"))
        spec = decode_spec(KIND, resource_of(0, repo.url))

        def run() -> None:
            found = fetch(spec, None, None, directory / "cache", Deadline.after(600))
            assert found.archive is not None
            found.archive.close()

        (directory / "cache").mkdir()
        first = timed(run)
        repo.commit({"dir-000/file-00000.yaml": "kind: Secret\n"})
        change = timed(run)
    ratio = first / floor
    out.print(f"{FILES} files: first artifact {first:.1f} s, {ratio:.1f} × git clone and tar ({floor:.1f} s)")
    out.print(f"  a change of one file, fetched and archived: {change:.2f} s")


def clone(url: str, target: Path) -> None:
    """`git clone --depth 1`, then `tar | gzip` of it."""
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", url, str(target)], check=True, timeout=600)
    subprocess.run(["tar", "--exclude=.git", "-czf", f"{target}.tar.gz", "-C", str(target), "."], check=True)


def chart_index(directory: Path, out: Console) -> None:
    """The peak memory of a process that does nothing but convert a large index."""
    index = directory / "index.yaml"
    with index.open("w") as file:
        file.write("apiVersion: v1\nentries:\n")
        for chart in range(CHARTS):
            file.write(f"  chart-{chart}:\n")
            for version in range(VERSIONS):
                file.write(
                    f"  - name: chart-{chart}\n    version: 1.{version}.0\n    apiVersion: v2\n"
                    f"    description: {'text ' * 150}\n    digest: {'ab' * 32}\n"
                    f"    urls: [https://charts.example.com/chart-{chart}-1.{version}.0.tgz]\n"
                )
    code = (
        "import sys, tempfile; from fleetbeat.sources.helm.index import convert\n"
        "convert(open(sys.argv[1], 'rb'), tempfile.TemporaryFile())\n"
        "print(*(int(line.split()[1]) // 1024 for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    begun = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", code, str(index)], capture_output=True, text=True, check=True, timeout=600
    )
    size, took = index.stat().st_size / 1e6, time.monotonic() - begun
    out.print(f"chart index of {size:.0f} MB: {took:.1f} s, peak {ran.stdout.strip()} MiB")


def timed(work: Callable[[], None]) -> float:
    """Seconds."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def main() -> None:
    """Run and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    out = Console(soft_wrap=True, highlight=False)
    with tempfile.TemporaryDirectory(prefix="fleetbeat-bench-") as name:
        for work in (
            lambda d: unchanged(count, d, out),
            lambda d: one_tag(d, out),
            lambda d: large_repository(d, out),
            lambda d: chart_index(d, out),
        ):
            with tempfile.TemporaryDirectory(dir=name) as part:
                work(Path(part))


if __name__ == "__main__":
    main()
