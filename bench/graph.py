"""Kustomizations in layers, each waiting for the whole layer below: from nothing to Ready, then a new commit.

Checks the order by the histories (to the second), and counts CPU.

    python -m bench.graph [LAYERS] [WIDTH]
"""

from __future__ import annotations

import sys
import time
from typing import Any

from bench.rig import SETTLED, cpu, is_ready, rigged
from bench.workload import GIT, KS, NAMESPACE, in_parallel, resource
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from workers.stack import Stack

MOST = 1800.0
"""Seconds."""


def graph(layers: int, width: int) -> list[tuple[str, dict[str, Any]]]:
    """All Kustomizations, the last layer first, so that none finds what it waits for."""
    found = []
    for layer in reversed(range(layers)):
        below = [{"name": name_of(layer - 1, number)} for number in range(width)] if layer else []
        spec = {"interval": "1h", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "repo"}}
        for number in range(width):
            name = name_of(layer, number)
            own = {"path": "./app", "namePrefix": f"{name}-", "targetNamespace": NAMESPACE, "dependsOn": below}
            found.append(resource(KS, name, spec | own))
    return found


def name_of(layer: int, number: int) -> str:
    """`n03-17`."""
    return f"n{layer:02}-{number:02}"


def content(release: str) -> dict[str, str | None]:
    """One ConfigMap."""
    return {
        "app/map.yaml": f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: map}}\ndata: {{release: '{release}'}}\n"
    }


def main() -> None:
    """Run and print."""
    layers, width = (int(word) for word in (sys.argv[1:] or ["50", "20"]))
    with rigged() as rig:
        repo = rig.git.create("repo")
        repo.commit(content("1"), "release 1")
        client = KubeClient(ClusterConfig.from_kubeconfig(rig.hub.kubeconfig, trusted=True))
        with rig.stack() as stack:
            time.sleep(SETTLED)
            source = resource(GIT, "repo", {"interval": "1h", "url": repo.url, "ref": {"branch": "main"}})
            client.apply(*source, "bench")
            writes = graph(layers, width)
            measure(
                "install", stack, client, repo.head(), lambda: in_parallel(lambda w: client.apply(*w, "bench"), writes)
            )
            head = repo.commit(content("2"), "release 2")
            token = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": head}}}
            measure("a new commit", stack, client, head, lambda: client.patch(source[0], token))
            check_order(client, layers * width)


def measure(phase: str, stack: Stack, client: KubeClient, head: str, work: Any) -> None:
    """Do it, and wait until every Kustomization is Ready at `head`."""
    before, begun = cpu(stack), time.monotonic()
    work()
    while waiting := [i for i in client.list(KS.path(NAMESPACE))["items"] if not is_ready(i, head)]:
        if time.monotonic() - begun > MOST:
            raise SystemExit(f"{phase}: {len(waiting)} are not Ready, such as {waiting[0]['metadata']['name']}")
        time.sleep(1)
    took, after = time.monotonic() - begun, cpu(stack)
    print(f"{phase}: {took:.1f} s, {after - before:.1f} s CPU of Fleetbeat's processes", flush=True)


def check_order(client: KubeClient, count: int) -> None:
    """Each layer's newest success comes after all of the layer below, as the histories tell it."""
    ends: dict[int, list[str]] = {}
    for item in client.list(KS.path(NAMESPACE))["items"]:
        ends.setdefault(int(item["metadata"]["name"][1:3]), []).append(item["status"]["history"][0]["lastReconciled"])
    wrong = [layer for layer in range(1, len(ends)) if min(ends[layer]) < max(ends[layer - 1])]
    print(f"{sum(map(len, ends.values()))} of {count} Ready; layers out of order: {wrong or 'none'}")


if __name__ == "__main__":
    main()
