"""One repository, many Kustomizations, and a commit that touches five of their paths.

Seconds from the request until the five are Ready at the new commit, and until all are; what was rendered and applied
meanwhile. All of them share one GitRepository; each has one ConfigMap and one Deployment without replicas.

    python -m bench.monorepo [N]
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any

from rich.console import Console

from bench.rig import SETTLED, cpu, give_up, is_ready, rigged
from bench.workload import GIT, KS, NAMESPACE, in_parallel, resource
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from tools.clusters import Cluster
from workers.stack import Stack

TOUCHED = 5
COMMITS = 3
APP = """apiVersion: v1
kind: ConfigMap
metadata: {name: NAME}
data: {release: "RELEASE"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: 0
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: app, image: "example.com/app:1"}]}
"""


def name_of(number: int) -> str:
    """Of a Kustomization and its objects."""
    return f"app-{number:04d}"


def manifest(number: int, release: str) -> str:
    """The one file of a path."""
    return APP.replace("NAME", name_of(number)).replace("RELEASE", release)


def resources(count: int, url: str) -> list[tuple[str, dict[str, Any]]]:
    """API path and body of the source and of every Kustomization."""
    source = {"url": url, "interval": "10m", "ref": {"branch": "main"}}
    found = [resource(GIT, "mono", source)]
    for number in range(count):
        name = name_of(number)
        spec = {
            "interval": "10m",
            "path": f"./apps/{name}",
            "prune": True,
            "wait": True,
            "targetNamespace": NAMESPACE,
            "serviceAccountName": "applier",
            "sourceRef": {"kind": "GitRepository", "name": "mono"},
        }
        found.append(resource(KS, name, spec))
    return found


class Bench:
    """One repository over N paths."""

    def __init__(self, count: int, cluster: Cluster, stack: Stack, repo: Any) -> None:
        self.count, self.cluster, self.stack, self.repo = count, cluster, stack, repo
        self.client = KubeClient(ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True))

    def install(self) -> float:
        """Everything at once, until it is Ready."""
        begun = time.monotonic()
        in_parallel(lambda item: self.client.apply(item[0], item[1], "bench"), resources(self.count, self.repo.url))
        self.await_at(range(self.count), self.repo.head())
        return time.monotonic() - begun

    def commit(self, release: str) -> tuple[float, float, float, Counter[str]]:
        """A commit that touches five paths, and a request for it.

        Returns seconds until those are Ready at it, seconds until all are, Fleetbeat's CPU seconds, and how many
        requests of each verb were sent to objects that are applied.
        """
        touched = [number * (self.count // TOUCHED) for number in range(TOUCHED)]
        head = self.repo.commit({f"apps/{name_of(n)}/app.yaml": manifest(n, release) for n in touched}, release)
        spent, seen, begun = cpu(self.stack), len(self.cluster.requests()), time.monotonic()
        body = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": str(time.time_ns())}}}
        self.client.patch(GIT.path(NAMESPACE, "mono"), body)
        self.await_at(touched, head)
        first = time.monotonic() - begun
        self.await_at(range(self.count), head)
        return first, time.monotonic() - begun, cpu(self.stack) - spent, self.applied(seen)

    def applied(self, since: int) -> Counter[str]:
        """Requests for ConfigMaps of the applications and Deployments."""
        kinds = ("configmaps", "deployments")
        requests = (r for r in self.cluster.requests()[since:] if r["objectRef"].get("resource") in kinds)
        mine = (r for r in requests if r["objectRef"].get("namespace") in (NAMESPACE, None))
        return Counter(r["verb"] for r in mine if not r["user"]["username"].startswith("system:kube"))

    def await_at(self, numbers: Any, head: str) -> None:
        """Until each of these Kustomizations is Ready at a commit; looks at one that is not."""
        deadline = time.monotonic() + 900
        waiting = [name_of(number) for number in numbers]
        while waiting:
            if is_ready(self.client.get(KS.path(NAMESPACE, waiting[-1])), head):
                waiting.pop()
            elif time.monotonic() > deadline:
                raise give_up(self.stack)
            else:
                time.sleep(0.02)


def main() -> None:
    """Run and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    console = Console()
    with rigged() as rig:
        repo = rig.git.create("mono")
        repo.commit({f"apps/{name_of(n)}/app.yaml": manifest(n, "1") for n in range(count)}, "release 1")
        with rig.stack() as stack:
            bench = Bench(count, rig.hub, stack, repo)
            time.sleep(SETTLED)
            console.print(f"install of {count} paths: {bench.install():.1f} s")
            for release in range(2, 2 + COMMITS):
                time.sleep(3)
                first, last, seconds, verbs = bench.commit(str(release))
                told = ", ".join(f"{verb} {number}" for verb, number in sorted(verbs.items()))
                console.print(
                    f"commit {release - 1} touching {TOUCHED}: those Ready after {first:.2f} s, all {count} after "
                    f"{last:.2f} s, {seconds:.2f} CPU s; requests for applied objects: {told}"
                )


if __name__ == "__main__":
    main()
