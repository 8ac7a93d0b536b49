"""Who this hub is: the id by which its ledgers are told from those of other hubs."""

from __future__ import annotations

from fleetbeat.kube.client import KubeClient


def hub_id(hub: KubeClient) -> str:
    """The uid of the hub's `kube-system` namespace: stable for the life of the cluster, and no secret."""
    return str(hub.get("/api/v1/namespaces/kube-system")["metadata"]["uid"])
