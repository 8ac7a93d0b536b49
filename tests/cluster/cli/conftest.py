"""The command as its own process, against a real API server with Fleetbeat's definitions installed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tools.clusters import Cluster

KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{}/kustomizations"
SOURCES = "/apis/source.toolkit.fluxcd.io/v1/namespaces/{}/gitrepositories"
SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Ran:
    """What one call of the command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Standard output by lines."""
        return self.out.splitlines()


class Command:
    """Calls `fleetbeat` for one cluster and namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("FLEETBEAT_")},
            "KUBECONFIG": str(cluster.kubeconfig),
            "FLUX_SYSTEM_NAMESPACE": namespace,
        }

    @contextmanager
    def running(self, *words: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        """The process while it runs; killed at the end of the block if it still does."""
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli.main", *words],
            env={**self._env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def __call__(self, *words: str, **env: str) -> Ran:
        """Run it to its end, at most two minutes."""
        with self.running(*words, **env) as process:
            out, err = process.communicate(timeout=120)
        return Ran(process.returncode, out, err)


class Objects:
    """Plays the user and the reporter: writes custom resources and their status."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kustomization(self, name: str, **spec: Any) -> None:
        """A Kustomization of `./` of the Git repository `repo`."""
        source = {"kind": "GitRepository", "name": "repo"}
        whole = {"interval": "10m", "path": "./", "prune": True, "sourceRef": source, **spec}
        self._create(KUSTOMIZATIONS, "kustomize.toolkit.fluxcd.io/v1", "Kustomization", name, whole)

    def git_repository(self, name: str) -> None:
        """A GitRepository."""
        spec = {"interval": "1m", "url": "https://git.example.com/repo.git", "ref": {"branch": "main"}}
        self._create(SOURCES, "source.toolkit.fluxcd.io/v1", "GitRepository", name, spec)

    def report(self, path: str, name: str, ready: str, reason: str, message: str, **status: Any) -> None:
        """Write a status with a Ready condition of the present generation, as the reporter would."""
        url = f"{path.format(self.namespace)}/{name}"
        generation = self.cluster.api("GET", url)["metadata"]["generation"]
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
        condition |= {"lastTransitionTime": now, "observedGeneration": generation}
        whole = {"observedGeneration": generation, "conditions": [condition], **status}
        self.cluster.api("PATCH", f"{url}/status", {"status": whole}, "application/merge-patch+json")

    def get(self, path: str, name: str) -> dict[str, Any]:
        """One object as it is."""
        obj: dict[str, Any] = self.cluster.api("GET", f"{path.format(self.namespace)}/{name}")
        return obj

    def _create(self, path: str, api_version: str, kind: str, name: str, spec: dict[str, Any]) -> None:
        obj = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.cluster.api("POST", path.format(self.namespace), obj)


@pytest.fixture
def fleetbeat(cluster: Cluster, namespace: str, installed: None) -> Command:
    """The command, for a fresh namespace."""
    return Command(cluster, namespace)


@pytest.fixture
def objects(cluster: Cluster, namespace: str, installed: None) -> Objects:
    """Writes into the fresh namespace."""
    return Objects(cluster, namespace)


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> None:
    """Fleetbeat's definitions on the shared cluster."""
    ran = Command(cluster, "flux-system")("install", "--force")
    assert ran.code == 0, ran.err
