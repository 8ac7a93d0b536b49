"""Mean time to production: N pairs of GitRepository and Kustomization, from nothing to Ready, and everything after.

Phases: install, upgrade, no-op on request, unchanged interval, drift, delete. For each: seconds, CPU and memory of
Fleetbeat's processes (Redis, S3 and Flower apart), requests to the API server. Two floors are measured on the same API
server from a bare loop with eight threads: *bare* and *whole*, see `bench.workload`. Figures are ratios within one
run: compare nothing across machines.

    python -m bench.mttp [N]
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.following import follow
from bench.rig import SETTLED, give_up, is_ready, rigged, roles, usage
from bench.workload import GIT, INTERVAL, KS, NAMESPACE, files, floor, in_parallel, pair, rendered
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from tools.clusters import Cluster
from workers.stack import Stack


@dataclass
class Figures:
    """What one phase cost."""

    phase: str
    seconds: float
    cpu: float
    pss: float
    """MiB, at the end of the phase."""
    requests: int
    writes: int
    lists: int
    roles: dict[str, tuple[float, float]]
    """role → CPU seconds in the phase and PSS in MiB at its end."""
    others: dict[str, float]
    """program → CPU seconds in the phase of what Fleetbeat talks to, and of the bench itself."""


class Bench:
    """One run over N pairs."""

    def __init__(self, count: int, cluster: Cluster, stack: Stack, repo: Any) -> None:
        self.count, self.cluster, self.stack, self.repo = count, cluster, stack, repo
        self.client = KubeClient(ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True))
        self.figures: list[Figures] = []
        self.reverted: list[float] = []
        """Seconds after which each drifted object was as it should be."""
        self.ended: list[float] = []
        """When each resource was done in the phase under way, in the order of time."""

    def run(self) -> None:
        """All phases in order."""
        self.measure("install", self.install)
        head = self.repo.commit(files("2"), "release 2")
        self.measure("upgrade", lambda: self.upgrade(head))
        self.measure("no-op on request", self.no_op)
        self.settle()
        self.measure("unchanged interval", lambda: time.sleep(INTERVAL))
        self.measure("drift of ten objects", self.drift)
        self.measure("delete", self.delete)

    # Phases

    def install(self) -> None:
        """All custom resources at once, until every one is Ready."""
        writes = [item for number in range(self.count) for item in pair(number, self.repo.url)]
        in_parallel(lambda item: self.client.apply(item[0], item[1], "bench"), writes)
        self.await_ready(self.repo.head())

    def upgrade(self, head: str) -> None:
        """A new commit, seen by all sources at once, until every Kustomization is Ready at it."""
        self.request(GIT)
        self.await_ready(head)

    def no_op(self) -> None:
        """A request to each Kustomization, until each has handled it."""
        token = self.request(KS)
        self.until_all(KS, lambda item: (item.get("status") or {}).get("lastHandledReconcileAt") == token)

    def settle(self) -> None:
        """Let follow-up work end before the quiet phase is measured."""
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            time.sleep(0.2)

    def drift(self) -> None:
        """Ten objects, one after the other, edited by somebody else, each until it is as Git says."""
        for number in range(0, self.count, max(self.count // 10, 1)):
            path, _ = rendered(number)[1]
            edit = {"spec": {"selector": {"app": "somebody-elses"}}}
            self.client.patch(path, edit)
            begun = time.monotonic()
            self.until(lambda path=path: self.client.get(path)["spec"]["selector"]["app"] == "podinfo", pause=0.01)
            self.reverted.append(time.monotonic() - begun)

    def delete(self) -> None:
        """All Kustomizations and sources, until they and their objects are gone."""
        for kind in (KS, GIT):
            in_parallel(self.client.delete, [path_of(kind, item) for item in self.items(kind)])
            self.until_all(kind, lambda _: False)

    # Helpers

    def request(self, kind: Any) -> str:
        token = str(time.time_ns())
        body = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}}
        names = [f"app-{number:04d}" for number in range(self.count)]
        in_parallel(
            lambda name: self.client.patch(kind.path(NAMESPACE, name), body, "application/merge-patch+json"), names
        )
        return token

    def items(self, kind: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.list(kind.path(NAMESPACE)).get("items") or []
        return found

    def await_ready(self, head: str) -> None:
        self.until_all(KS, lambda item: is_ready(item, head))
        assert len(self.items(KS)) == self.count

    def until_all(self, kind: Any, done: Callable[[dict[str, Any]], bool]) -> None:
        """Until every resource is done or gone."""
        self.ended = follow(self.client.config, kind.path(NAMESPACE), done, self.patience())

    def until(self, done: Callable[[], bool], pause: float = 0.1) -> None:
        check = self.patience()
        while not done():
            check()
            time.sleep(pause)

    def patience(self, seconds: float = 900) -> Callable[[], None]:
        """To be called now and then: raises when it takes too long, or a process has died."""
        deadline = time.monotonic() + seconds

        def check() -> None:
            if time.monotonic() > deadline or any(m.server.exit_code is not None for m in self.stack.members.values()):
                raise give_up(self.stack)

        return check

    def measure(self, phase: str, work: Callable[[], None]) -> None:
        """Run a phase and note its cost."""
        before, others, seen, begun = self.roles(), self.others(), len(self.cluster.requests()), time.monotonic()
        work()
        seconds, after = time.monotonic() - begun, self.roles()
        half = f", half of them after {self.ended[len(self.ended) // 2] - begun:.2f} s" if self.ended else ""
        print(f"{phase}: {seconds:.2f} s{half}", flush=True)
        self.ended = []
        others = {name: spent - others.get(name, 0.0) for name, spent in self.others().items()}
        roles = {name: (cpu - before[name][0], pss) for name, (cpu, pss) in after.items()}
        mine = [r for r in self.cluster.requests()[seen:] if "fleetbeat-bench" not in r.get("userAgent", "")]
        verbs = Counter(
            r["verb"]
            for r in mine
            if r["user"]["username"] != "bench" and not r["user"]["username"].startswith("system:kube")
        )
        writes = sum(verbs[v] for v in ("create", "update", "patch", "delete"))
        cpu, pss = (sum(figures) for figures in zip(*roles.values(), strict=True))
        requests = sum(verbs.values())
        self.figures.append(Figures(phase, seconds, cpu, pss, requests, writes, verbs["list"], roles, others))

    def roles(self) -> dict[str, tuple[float, float]]:
        """role → CPU seconds and PSS in MiB so far, children included."""
        return {m.name: usage(m.server.pid) for m in roles(self.stack) if m.server.pid}

    def others(self) -> dict[str, float]:
        """Program → CPU seconds so far of everything else: servers, Flower, the bench."""
        roots = [m.server.pid for m in roles(self.stack)]
        ours = {child.pid for root in roots for child in psutil.Process(root).children(recursive=True)} | set(roots)
        found: dict[str, float] = {}
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            if process.pid not in ours:
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    found[process.name()] = found.get(process.name(), 0.0) + times.user + times.system
        return found


def path_of(kind: Any, item: dict[str, Any]) -> str:
    """API path of a resource."""
    path: str = kind.path(NAMESPACE, item["metadata"]["name"])
    return path


def main() -> None:
    """Run and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    console = Console()
    with rigged() as rig:
        repo = rig.git.create("podinfo")
        repo.commit(files("1"), "release 1")
        bare, whole = floor(count, rig.hub, whole=False), floor(count, rig.hub, whole=True)
        with rig.stack() as stack:
            bench = Bench(count, rig.hub, stack, repo)
            bench.until(lambda: bool(stack.members["hub"].server.pid))
            time.sleep(SETTLED)
            bench.run()
    table = Table(title=f"{count} pairs of GitRepository and Kustomization", box=None)
    for column in ("phase", "seconds", "× bare", "× whole", "CPU s", "PSS MiB", "requests", "writes", "LISTs"):
        table.add_column(column, justify="right")
    for f in bench.figures:
        ratios = [f"{f.seconds / floor[f.phase]:.2f}" if f.phase in floor else "-" for floor in (bare, whole)]
        table.add_row(
            f.phase,
            f"{f.seconds:.2f}",
            *ratios,
            f"{f.cpu:.2f}",
            f"{f.pss:.0f}",
            str(f.requests),
            str(f.writes),
            str(f.lists),
        )
    console.print(table)
    for f in bench.figures:
        roles = ", ".join(f"{name} {cpu:.2f} s {pss:.0f} MiB" for name, (cpu, pss) in f.roles.items())
        console.print(f"{f.phase}: {roles}", soft_wrap=True)
        others = ", ".join(f"{name} {cpu:.2f} s" for name, cpu in sorted(f.others.items()) if cpu > 0.05)
        console.print(f"  beside it: {others}", soft_wrap=True)
    for name, base in (("bare", bare), ("whole", whole)):
        console.print(f"{name} floor: " + ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in base.items()))
    reverted = sorted(bench.reverted)
    middle, worst = reverted[len(reverted) // 2], reverted[-1]
    console.print(f"drift reverted after {middle:.2f} s (median), {worst:.2f} s (worst of {len(reverted)})")


if __name__ == "__main__":
    main()
