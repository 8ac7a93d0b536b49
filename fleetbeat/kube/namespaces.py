"""Namespaces that Fleetbeat itself needs on a cluster."""

from __future__ import annotations

from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import Conflict


def make(client: KubeClient, name: str) -> None:
    """Create a namespace unless it is there. Raises KubeError."""
    try:
        client.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    except Conflict:
        pass
