"""Who this hub is: the id that its objects carry on every cluster as the label `fleetbeat.io/hub`."""

from __future__ import annotations

from fleetbeat.kube.client import KubeClient

HUB_LABEL = "fleetbeat.io/hub"
"""Label of every applied object; its value is the hub id."""


def hub_id(client: KubeClient) -> str:
    """The uid of the hub's `kube-system` namespace: stable for the life of the cluster, and no secret."""
    return str(client.get("/api/v1/namespaces/kube-system")["metadata"]["uid"])
