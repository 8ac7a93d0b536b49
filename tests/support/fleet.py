"""Driving a running Fleetbeat as its users do: commits, custom resources, and looking at the clusters."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import urllib3
import yaml

from fleetbeat.api.kinds import KINDS
from tools.apiclient import ApiError
from tools.clusters import Cluster, ClusterSet
from tools.gitrepo import Content, GitRepo
from tools.gitserver import GitServer
from workers.stack import Stack

NAMESPACE = "flux-system"
T = TypeVar("T")


@dataclass
class Fleet:
    """Clusters, Git server and stack of a test module."""

    clusters: ClusterSet
    git: GitServer
    stack: Stack

    @property
    def hub(self) -> Cluster:
        """The cluster with the custom resources."""
        return self.clusters["hub"]

    @property
    def edge(self) -> Cluster:
        """The remote cluster, reached by the kubeconfig Secret `edge-kubeconfig`."""
        return self.clusters["edge"]

    def connect(self, name: str) -> None:
        """Give the hub the kubeconfig of another cluster."""
        self.secret(f"{name}-kubeconfig", value=yaml.safe_dump(self.clusters[name].kubeconfig_data))

    def secret(self, name: str, **data: str) -> None:
        """Write a Secret on the hub."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        meta = {"name": name, "namespace": NAMESPACE}
        self.put(
            f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}",
            {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encoded},
        )

    def put(self, path: str, obj: Mapping[str, Any], cluster: Cluster | None = None) -> Any:
        """Server-side apply as a user."""
        return (cluster or self.hub).api(
            "PATCH", f"{path}?fieldManager=user&force=true", obj, "application/apply-patch+yaml"
        )

    def repository(self, name: str, files: Mapping[str, str | None], **spec: Any) -> GitRepo:
        """A Git repository with a first commit, and the GitRepository that follows it."""
        repo = self.git.create(name)
        repo.commit(files, "first")
        self.source(name, repo.url, **spec)
        return repo

    def source(self, name: str, url: str, **spec: Any) -> None:
        """A GitRepository; `spec` overrides its fields."""
        self.resource("GitRepository", name, {"url": url, "interval": "10m", "ref": {"branch": "main"}, **spec})

    def kustomization(self, name: str, source: str, *, edge: bool = False, **spec: Any) -> None:
        """A Kustomization of a GitRepository, on the hub or on the edge; `spec` overrides its fields."""
        remote = {"kubeConfig": {"secretRef": {"name": "edge-kubeconfig"}}} if edge else {}
        base = {"interval": "10m", "prune": True, "sourceRef": {"kind": "GitRepository", "name": source}}
        self.resource("Kustomization", name, {**base, **remote, **spec})

    def resource(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        """Write a custom resource."""
        meta = {"name": name, "namespace": NAMESPACE}
        known = KINDS[kind]
        obj = {"apiVersion": known.api_version, "kind": kind, "metadata": meta, "spec": spec}
        self.put(known.path(NAMESPACE, name), obj)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """A custom resource as it is; raises when it is gone."""
        found: dict[str, Any] = self.hub.api("GET", KINDS[kind].path(NAMESPACE, name))
        return found

    def delete(self, kind: str, name: str) -> None:
        """Ask for a deletion; the finalizer may hold it."""
        self.hub.api("DELETE", KINDS[kind].path(NAMESPACE, name))

    def change(self, kind: str, name: str, **spec: Any) -> None:
        """Change fields of its spec, which takes a whole run."""
        path = KINDS[kind].path(NAMESPACE, name)
        self.hub.api("PATCH", path, {"spec": spec}, content_type="application/merge-patch+json")

    def request(self, kind: str, name: str, token: str | None = None) -> str:
        """What `flux reconcile` does: ask for a run now; returns the token."""
        token = token or str(time.time_ns())
        body = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}}
        self.hub.api("PATCH", KINDS[kind].path(NAMESPACE, name), body, "application/merge-patch+json")
        return token

    def reconcile(self, kind: str, name: str, timeout: float = 120) -> dict[str, Any]:
        """Ask for a run as `request` does and wait until one acknowledges it; returns the resource after it."""
        token = self.request(kind, name)

        def handled() -> dict[str, Any] | None:
            found = self.get(kind, name)
            return found if found["status"].get("lastHandledReconcileAt") == token else None

        return self.until(handled, f"{kind}/{name} acknowledges the request", timeout)

    def push(
        self, repo: GitRepo, source: str, files: Mapping[str, Content], modes: Mapping[str, int] | None = None
    ) -> str:
        """Commit (`modes` as in GitRepo.commit) and ask the source to look; returns the commit."""
        sha = repo.commit(files, modes=modes)
        self.request("GitRepository", source)
        return sha

    def uids(self, name: str) -> list[str]:
        """Of one ConfigMap of the default namespace on the hub and on the edge: they change when it is made anew."""
        path = f"/api/v1/namespaces/default/configmaps/{name}"
        return [cluster.api("GET", path)["metadata"]["uid"] for cluster in (self.hub, self.edge)]

    def condition(self, kind: str, name: str, condition: str = "Ready") -> dict[str, Any]:
        """One condition of a resource; empty when it is not there."""
        conditions = (self.get(kind, name).get("status") or {}).get("conditions") or []
        return next((c for c in conditions if c["type"] == condition), {})

    def wait_ready(self, kind: str, name: str, revision: str = "", timeout: float = 120) -> dict[str, Any]:
        """Wait until a resource is Ready (at a commit); returns it."""

        def ready() -> dict[str, Any] | None:
            found = self.get(kind, name)
            status = found.get("status") or {}
            conditions = {c["type"]: c for c in status.get("conditions") or []}
            applied = status.get("lastAppliedRevision") or (status.get("artifact") or {}).get("revision", "")
            is_ready = conditions.get("Ready", {}).get("status") == "True"
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            return found if is_ready and current and applied.endswith(revision) else None

        return self.until(
            ready, f"{kind}/{name} Ready {revision}", timeout, lambda: str(self.get(kind, name)["status"])
        )

    def wait_failed(self, kind: str, name: str, reason: str, timeout: float = 120) -> dict[str, Any]:
        """Wait until Ready is False for this reason; returns the condition."""

        def failed() -> dict[str, Any] | None:
            ready = self.condition(kind, name)
            return ready if (ready.get("status"), ready.get("reason")) == ("False", reason) else None

        return self.until(failed, f"{kind}/{name} {reason}", timeout, lambda: str(self.condition(kind, name)))

    def command(self, *words: str) -> str:
        """What the `fleetbeat` command prints on its standard output; fails the test when the command fails."""
        env = {**os.environ, "KUBECONFIG": str(self.hub.kubeconfig), "FLUX_SYSTEM_NAMESPACE": NAMESPACE}
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli.main", *words], env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def until(
        self, probe: Callable[[], T | None], what: str, timeout: float = 120, detail: Callable[[], str] = lambda: ""
    ) -> T:
        """Poll until `probe` gives something true; a missing object counts as not yet. Tends the stack meanwhile."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.stack.tend()
            try:
                found = probe()
            except (LookupError, ApiError, urllib3.exceptions.HTTPError):
                found = None
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"not within {timeout:.0f} s: {what}; {_safely(detail)}\n{self.logs()}")

    def logs(self) -> str:
        """The end of every role's log, for a failed test."""
        return "\n".join(f"--- {name}\n{member.server.tail(15)}" for name, member in self.stack.members.items())


def _safely(detail: Callable[[], str]) -> str:
    try:
        return detail()
    except Exception as error:
        return f"({type(error).__name__})"


def config_map(name: str, namespace: str = "default", **data: str) -> str:
    """The YAML of a ConfigMap."""
    meta = {"name": name, "namespace": namespace}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
