"""Mean time to production: N pairs of GitRepository and Kustomization, from nothing to Ready, and everything after.

Phases: install, upgrade, no-op on request, unchanged interval, delete. For each: seconds, CPU and memory of Fleetbeat's
processes (Redis, S3 and Flower apart), requests to the API server. The *floor* writes the same objects, annotations,
finalizers and statuses to the same API server from a bare loop with eight threads. Figures are ratios within one run:
compare nothing across machines.

    python -m bench.mttp [N]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from fleetbeat.api.kinds import KINDS
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from tools.clusters import Cluster, ClusterSet
from tools.gitserver import GitServer
from workers.cli.connect import Access
from workers.stack import Stack
from workers.up import prepare

THREADS = 8
NAMESPACE = "bench"
INTERVAL = 30
GIT, KS = KINDS["GitRepository"], KINDS["Kustomization"]
APART = ("flower",)

PODINFO = {
    "sa.yaml": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: podinfo}\n",
    "service.yaml": """apiVersion: v1
kind: Service
metadata: {name: podinfo}
spec: {selector: {app: podinfo}, ports: [{name: http, port: 9898}, {name: grpc, port: 9999}]}
""",
    "deployment.yaml": """apiVersion: apps/v1
kind: Deployment
metadata: {name: podinfo}
spec:
  replicas: 0
  selector: {matchLabels: {app: podinfo}}
  template:
    metadata: {labels: {app: podinfo}, annotations: {release: "RELEASE"}}
    spec:
      serviceAccountName: podinfo
      containers:
        - name: podinfo
          image: example.com/podinfo:6.9.0
          ports: [{name: http, containerPort: 9898}]
          resources: {requests: {cpu: 100m, memory: 64Mi}}
""",
    "ingress.yaml": """apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: podinfo}
spec:
  defaultBackend: {service: {name: podinfo, port: {number: 9898}}}
""",
}


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


def files(release: str) -> dict[str, str | None]:
    """The repository's content at a release."""
    return {f"deploy/{name}": text.replace("RELEASE", release) for name, text in PODINFO.items()}


def pair(number: int, url: str) -> list[tuple[str, dict[str, Any]]]:
    """API path and body of the two resources of one pair."""
    name = f"app-{number:04d}"
    meta = {"name": name, "namespace": NAMESPACE}
    source = {"url": url, "interval": f"{INTERVAL}s", "ref": {"branch": "main"}}
    spec = {
        "interval": f"{INTERVAL}s",
        "path": "./deploy",
        "prune": True,
        "wait": True,
        "timeout": "2m",
        "targetNamespace": NAMESPACE,
        "namePrefix": f"{name}-",
        "serviceAccountName": "applier",
        "sourceRef": {"kind": "GitRepository", "name": name},
    }
    return [
        (
            GIT.path(NAMESPACE, name),
            {"apiVersion": GIT.api_version, "kind": GIT.name, "metadata": meta, "spec": source},
        ),
        (KS.path(NAMESPACE, name), {"apiVersion": KS.api_version, "kind": KS.name, "metadata": meta, "spec": spec}),
    ]


class Bench:
    """One run over N pairs."""

    def __init__(self, count: int, cluster: Cluster, stack: Stack, repo: Any) -> None:
        self.count, self.cluster, self.stack, self.repo = count, cluster, stack, repo
        self.client = KubeClient(ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True))
        self.figures: list[Figures] = []

    def run(self) -> None:
        """All phases in order."""
        self.measure("install", self.install)
        head = self.repo.commit(files("2"), "release 2")
        self.measure("upgrade", lambda: self.upgrade(head))
        self.measure("no-op on request", self.no_op)
        self.settle()
        self.measure("unchanged interval", lambda: time.sleep(INTERVAL))
        self.measure("delete", self.delete)

    # Phases

    def install(self) -> None:
        """All custom resources at once, until every one is Ready."""
        writes = [item for number in range(self.count) for item in pair(number, self.repo.url)]
        in_parallel(lambda item: self.client.apply(item[0], item[1], "bench"), writes)
        self.until(lambda: self.ready(self.repo.head()))

    def upgrade(self, head: str) -> None:
        """A new commit, seen by all sources at once, until every Kustomization is Ready at it."""
        self.request(GIT)
        self.until(lambda: self.ready(head))

    def no_op(self) -> None:
        """A request to each Kustomization, until each has handled it."""
        token = self.request(KS)
        self.until(lambda: all((i.get("status") or {}).get("lastHandledReconcileAt") == token for i in self.items(KS)))

    def settle(self) -> None:
        """Let follow-up work end before the quiet phase is measured."""
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            time.sleep(0.2)

    def delete(self) -> None:
        """All Kustomizations and sources, until they and their objects are gone."""
        in_parallel(lambda item: self.client.delete(KS.path(NAMESPACE, item["metadata"]["name"])), self.items(KS))
        self.until(lambda: not self.items(KS))
        in_parallel(lambda item: self.client.delete(GIT.path(NAMESPACE, item["metadata"]["name"])), self.items(GIT))
        self.until(lambda: not self.items(GIT))

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

    def ready(self, head: str) -> bool:
        items = self.items(KS)
        return len(items) == self.count and all(is_ready(item, head) for item in items)

    def until(self, done: Callable[[], bool], timeout: float = 900) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            if time.monotonic() > deadline:
                raise SystemExit(
                    "not done in time:\n" + "\n".join(m.server.tail() for m in self.stack.members.values())
                )
            time.sleep(0.1)

    def measure(self, phase: str, work: Callable[[], None]) -> None:
        """Run a phase and note its cost."""
        before, seen, begun = self.roles(), len(self.cluster.requests()), time.monotonic()
        work()
        seconds, after = time.monotonic() - begun, self.roles()
        roles = {name: (cpu - before[name][0], pss) for name, (cpu, pss) in after.items()}
        mine = [r for r in self.cluster.requests()[seen:] if "fleetbeat-bench" not in r.get("userAgent", "")]
        verbs = Counter(
            r["verb"]
            for r in mine
            if r["user"]["username"] != "bench" and not r["user"]["username"].startswith("system:kube")
        )
        writes = sum(verbs[v] for v in ("create", "update", "patch", "delete"))
        cpu, pss = (sum(figures) for figures in zip(*roles.values(), strict=True))
        self.figures.append(Figures(phase, seconds, cpu, pss, sum(verbs.values()), writes, verbs["list"], roles))

    def roles(self) -> dict[str, tuple[float, float]]:
        """role → CPU seconds and PSS in MiB so far, children included."""
        return {
            m.name: usage(m.server.pid) for m in self.stack.members.values() if m.server.pid and m.name not in APART
        }


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds and PSS in MiB of a process and its children."""
    parent = psutil.Process(pid)
    family = (parent, *parent.children(recursive=True))
    times = [process.cpu_times() for process in family]
    return sum(t.user + t.system for t in times), sum(p.memory_full_info().pss for p in family) / 2**20


def floor(count: int, cluster: Cluster) -> dict[str, float]:
    """Seconds that a bare loop needs for the same writes: install, upgrade, delete."""
    client = KubeClient(ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True))
    renders = [rendered(number) for number in range(count)]
    status = {
        "status": {
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "ok",
                    "message": "m",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ],
            "observedGeneration": 1,
        }
    }

    def write(number: int) -> None:
        for path, body in pair(number, "http://127.0.0.1/none"):
            body["metadata"]["finalizers"] = ["floor.example.com/finalizer"]
            client.apply(path, body, "floor")
        for path, body in renders[number]:
            client.apply(path, body, "floor")
        for path, _ in pair(number, ""):
            client.patch(f"{path}/status", status, "application/merge-patch+json")

    def upgrade(number: int) -> None:
        path, body = renders[number][2]
        body["spec"]["template"]["metadata"]["annotations"]["release"] = "2"
        client.apply(path, body, "floor")
        for path, _ in pair(number, ""):
            client.patch(f"{path}/status", {"status": {"observedGeneration": 2}}, "application/merge-patch+json")

    def delete(number: int) -> None:
        for path, _ in renders[number]:
            client.delete(path)
        for path, _ in pair(number, ""):
            client.patch(path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
            client.delete(path)

    return {
        name: timed(lambda work=work: in_parallel(work, range(count)))
        for name, work in (("install", write), ("upgrade", upgrade), ("delete", delete))
    }


def rendered(number: int) -> list[tuple[str, dict[str, Any]]]:
    """The four objects of a pair as Fleetbeat applies them."""
    import yaml

    name = f"app-{number:04d}"
    paths = {
        "ServiceAccount": f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
        "Service": f"/api/v1/namespaces/{NAMESPACE}/services",
        "Deployment": f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
        "Ingress": f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/ingresses",
    }
    found = []
    for text in PODINFO.values():
        obj = yaml.safe_load(text)
        labels = {
            "kustomize.toolkit.fluxcd.io/name": name,
            "kustomize.toolkit.fluxcd.io/namespace": NAMESPACE,
            "fleetbeat.io/hub": "x" * 36,
        }
        obj["metadata"] = {"name": f"{name}-podinfo", "namespace": NAMESPACE, "labels": labels}
        found.append((f"{paths[obj['kind']]}/{name}-podinfo", obj))
    return found


def in_parallel(work: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Eight at a time; the first error ends it."""
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(work, items):
            pass


def timed(work: Callable[[], None]) -> float:
    """Seconds."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def is_ready(item: dict[str, Any], head: str) -> bool:
    """Ready at a commit."""
    status = item.get("status") or {}
    ready = next((c["status"] for c in status.get("conditions") or [] if c["type"] == "Ready"), "")
    return ready == "True" and status.get("lastAppliedRevision", "").endswith(head)


def make_account(cluster: Cluster) -> None:
    """The namespace and the service account that applies are made as."""
    cluster.create_namespace(NAMESPACE)
    cluster.api("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "applier"}})
    binding = {
        "metadata": {"name": "applier"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "applier", "namespace": NAMESPACE}],
    }
    cluster.api("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)


def main() -> None:
    """Run and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="fleetbeat-bench-") as directory,
        ClusterSet("hub", audit=True) as clusters,
        GitServer(Path(directory, "git")) as git,
    ):
        hub = clusters["hub"]
        repo = git.create("podinfo")
        repo.commit(files("1"), "release 1")
        prepare(Access(hub.kubeconfig, None, "flux-system"))
        make_account(hub)
        base = floor(count, hub)
        stack = Stack(Path(directory, "stack"), hub.kubeconfig)
        with stack:
            bench = Bench(count, hub, stack, repo)
            bench.until(lambda: bool(stack.members["hub"].server.pid))
            threading.Event().wait(8)
            bench.run()
    table = Table(title=f"{count} pairs of GitRepository and Kustomization", box=None)
    for column in ("phase", "seconds", "× floor", "CPU s", "PSS MiB", "requests", "writes", "LISTs"):
        table.add_column(column, justify="right")
    for f in bench.figures:
        ratio = f"{f.seconds / base[f.phase]:.2f}" if f.phase in base else "-"
        table.add_row(
            f.phase,
            f"{f.seconds:.2f}",
            ratio,
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
    console.print("floor: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in base.items()))


if __name__ == "__main__":
    main()
