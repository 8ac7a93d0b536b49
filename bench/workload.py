"""What `bench.mttp` writes, and its two floors: writes to the same API server from a bare loop.

The *bare* floor writes the resources, their objects and statuses, as a script would. The *whole* floor also writes what
a GitOps controller owes its users: finalizers after the creation, the inventory before and after, events.
"""

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
_LEDGERS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
_NOW = "2026-01-01T00:00:00Z"
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


def resource(kind: Any, name: str, spec: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """API path and body of a resource in the benchmark's namespace."""
    metadata = {"name": name, "namespace": NAMESPACE}
    body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
    return kind.path(NAMESPACE, name), body


def pair(number: int, url: str) -> list[tuple[str, dict[str, Any]]]:
    """API path and body of the two resources of one pair."""
    name = f"app-{number:04d}"
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
    return [resource(GIT, name, source), resource(KS, name, spec)]


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
        }
        obj["metadata"] = {"name": f"{name}-podinfo", "namespace": NAMESPACE, "labels": labels}
        found.append((f"{paths[obj['kind']]}/{name}-podinfo", obj))
    return found


def revision(release: int) -> str:
    """As a Git source has it."""
    return f"main@sha1:{release:040x}"


def _condition(kind: str, reason: str, message: str) -> dict[str, Any]:
    told = {"type": kind, "status": "True", "reason": reason, "message": message}
    return {**told, "lastTransitionTime": _NOW, "observedGeneration": 1}


def source_status(number: int, release: int) -> dict[str, Any]:
    """Of a GitRepository, with all that a source owes its users."""
    stored = f"stored artifact for revision '{revision(release)}'"
    path = f"gitrepository/{NAMESPACE}/app-{number:04d}/{release:040x}.tar.gz"
    return {
        "conditions": [_condition(kind, "Succeeded", stored) for kind in ("Ready", "ArtifactInStorage")],
        "observedGeneration": 1,
        "lastHandledReconcileAt": str(release),
        "artifact": {
            "path": path,
            "url": f"http://127.0.0.1:9000/{path}",
            "revision": revision(release),
            "digest": f"sha256:{release:064x}",
            "lastUpdateTime": _NOW,
            "size": 1000,
        },
    }


def applied_status(number: int, release: int) -> dict[str, Any]:
    """Of a Kustomization: conditions, inventory and history."""
    name = f"{NAMESPACE}_app-{number:04d}-podinfo"
    kinds = ("_ServiceAccount", "_Service", "apps_Deployment", "networking.k8s.io_Ingress")
    history = [
        {
            "digest": f"sha256:{one:064x}",
            "firstReconciled": _NOW,
            "lastReconciled": _NOW,
            "lastReconciledDuration": "0.1s",
            "lastReconciledStatus": "ReconciliationSucceeded",
            "totalReconciliations": 1,
            "metadata": {"revision": revision(one)},
        }
        for one in range(release, 0, -1)
    ]
    return {
        "conditions": [
            _condition("Ready", "ReconciliationSucceeded", f"Applied revision: {revision(release)}"),
            _condition("Healthy", "Succeeded", "Health check passed in 0.1s"),
        ],
        "observedGeneration": 1,
        "lastAppliedRevision": revision(release),
        "lastAttemptedRevision": revision(release),
        "inventory": {"entries": [{"id": f"{name}_{kind}", "v": "v1"} for kind in kinds]},
        "history": history,
    }


def floor(count: int, cluster: Cluster, whole: bool) -> dict[str, float]:
    """Seconds that a bare loop needs for the writes of each phase that writes; `whole` with all that is owed."""
    loop = _Loop(KubeClient(ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True)), whole)
    phases = {"install": loop.install, "upgrade": loop.upgrade, "no-op on request": loop.no_op, "delete": loop.delete}
    return {name: timed(lambda work=work: in_parallel(work, range(count))) for name, work in phases.items()}


_TOLD = ("NewArtifact", "Progressing", "Progressing", "ReconciliationSucceeded")
"""Reasons of the events of a pair: stored, applied, healthy, through."""


class _Loop:
    """The writes of one pair in each phase."""

    def __init__(self, client: KubeClient, whole: bool) -> None:
        self.client, self.whole = client, whole

    def install(self, number: int) -> None:
        resources = pair(number, "http://127.0.0.1/none")
        finalizers = {"metadata": {"finalizers": ["floor.example.com/finalizer"]}}
        for path, body in resources:
            if self.whole:
                self.client.apply(path, body, "bench")
                self.client.patch(path, finalizers)
            else:
                self.client.apply(path, {**body, "metadata": body["metadata"] | finalizers["metadata"]}, "floor")
        self.save(number, "before", create=True)
        for path, body in rendered(number):
            self.client.apply(path, body, "floor")
        self.save(number, "after")
        self.tell(number, _TOLD)
        self.report(number, 1)

    def upgrade(self, number: int) -> None:
        path, body = rendered(number)[2]
        body["spec"]["template"]["metadata"]["annotations"]["release"] = "2"
        if self.whole:
            asked = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "2"}}}
            self.client.patch(pair(number, "")[0][0], asked)
        self.save(number, "before the upgrade")
        self.client.apply(path, body, "floor")
        self.save(number, "after the upgrade")
        self.tell(number, _TOLD)
        self.report(number, 2)

    def no_op(self, number: int) -> None:
        path, _ = pair(number, "")[1]
        self.client.patch(path, {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "3"}}})
        self.tell(number, ("ReconciliationSucceeded",))
        self.client.patch(f"{path}/status", {"status": {"lastHandledReconcileAt": "3"}})

    def delete(self, number: int) -> None:
        for path, _ in rendered(number):
            self.client.delete(path)
        if self.whole:
            self.client.delete(f"{_LEDGERS}/floor-{number:04d}")
        for path, _ in pair(number, ""):
            self.client.patch(path, {"metadata": {"finalizers": None}})
            self.client.delete(path)

    def report(self, number: int, release: int) -> None:
        for (path, _), status in zip(pair(number, ""), (source_status, applied_status), strict=True):
            self.client.patch(f"{path}/status", {"status": status(number, release)})

    def save(self, number: int, content: str, create: bool = False) -> None:
        if not self.whole:
            return
        name = f"floor-{number:04d}"
        ledger = {"metadata": {"name": name}, "data": {"inventory": content + " " + "x" * 1000}}
        if create:
            self.client.create(_LEDGERS, ledger)
        else:
            self.client.update(f"{_LEDGERS}/{name}", ledger)

    def tell(self, number: int, reasons: Iterable[str]) -> None:
        for reason in reasons if self.whole else ():
            event = {
                "metadata": {"generateName": f"app-{number:04d}.", "namespace": NAMESPACE},
                "involvedObject": {"kind": KS.name, "namespace": NAMESPACE, "name": f"app-{number:04d}"},
                "reason": reason,
                "message": "m" * 100,
                "type": "Normal",
            }
            self.client.create(f"/api/v1/namespaces/{NAMESPACE}/events", event)


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
