"""What `bench.mttp` writes, and the floor: the same writes to the same API server from a bare loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml

from fleetbeat.api.kinds import KINDS
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from tools.clusters import Cluster

THREADS = 8
NAMESPACE = "bench"
INTERVAL = 30
"""Seconds."""
GIT, KS = KINDS["GitRepository"], KINDS["Kustomization"]

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


def rendered(number: int) -> list[tuple[str, dict[str, Any]]]:
    """The four objects of a pair as Fleetbeat applies them."""
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
