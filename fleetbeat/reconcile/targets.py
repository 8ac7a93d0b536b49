"""From a resource's `spec.kubeConfig` and service account to the cluster that it is applied to.

Owns the process's clients: one per cluster and version of its kubeconfig Secret, the least recently used dropped.
Reads Secrets and ConfigMaps from the hub; never keeps their values anywhere but in memory.
"""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from fleetbeat.api.refs import HUB
from fleetbeat.errors import ReconciliationFailed
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.discovery import Discovery
from fleetbeat.kube.errors import InvalidKubeconfig, NotFound
from fleetbeat.kube.reach import Reach
from fleetbeat.kube.target import Target

MAX_CLIENTS = 256
"""Each open TLS connection costs about a megabyte."""


class HubReader:
    """Reads the ConfigMaps and Secrets that resources refer to, under Fleetbeat's own account."""

    def __init__(self, client: KubeClient) -> None:
        self.client = client

    def secret(self, namespace: str, name: str) -> dict[str, bytes]:
        """The decoded data of a Secret; raises NotFound."""
        data = self._get("secrets", namespace, name).get("data") or {}
        return {key: base64.b64decode(value) for key, value in data.items()}

    def config_map(self, namespace: str, name: str) -> dict[str, str]:
        """The text data of a ConfigMap; raises NotFound."""
        return dict(self._get("configmaps", namespace, name).get("data") or {})

    def service_account(self, namespace: str, name: str) -> dict[str, Any]:
        """A ServiceAccount; raises NotFound."""
        return self._get("serviceaccounts", namespace, name)

    def _get(self, plural: str, namespace: str, name: str) -> dict[str, Any]:
        obj: dict[str, Any] = self.client.get(f"/api/v1/namespaces/{namespace}/{plural}/{name}")
        return obj


class Targets:
    """All clusters that this process talks to. Thread-safe."""

    def __init__(self, hub: KubeClient) -> None:
        self.reader = HubReader(hub)
        self._hub = Target.of(hub)
        self._clients: OrderedDict[tuple[str, str], Target] = OrderedDict()
        self._lock = threading.Lock()

    def reach(self, where: Reach, account: str = "") -> Target:
        """The cluster `where`; everything but metadata goes through `account` (`namespace:name`) when it is given.

        Raises ReconciliationFailed when the kubeconfig Secret is missing or unusable.
        """
        base = self._hub if where.cluster == HUB else self._remote(where)
        if not account:
            return base
        user = f"system:serviceaccount:{account}"
        return Target.of(base.client, base.client.impersonate(user), base.discovery)

    def _remote(self, where: Reach) -> Target:
        secret = self._secret(where)
        slot = (where.cluster, f"{secret['metadata']['uid']}@{secret['metadata']['resourceVersion']}")
        with self._lock:
            if slot in self._clients:
                self._clients.move_to_end(slot)
                return self._clients[slot]
        client = KubeClient(_config(where, secret))
        target = Target.of(client, discovery=Discovery(client))
        with self._lock:
            for old in [key for key in self._clients if key[0] == where.cluster]:
                del self._clients[old]
            self._clients[slot] = target
            while len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
        return target

    def _secret(self, where: Reach) -> dict[str, Any]:
        try:
            secret: dict[str, Any] = self._hub.client.get(where.path)
        except NotFound as error:
            name = f"Secret {where.namespace}/{where.secret}"
            raise ReconciliationFailed(f"spec.kubeConfig.secretRef: {name} not found") from error
        return secret


def _config(where: Reach, secret: Mapping[str, Any]) -> ClusterConfig:
    try:
        return ClusterConfig.from_kubeconfig(where.kubeconfig(secret), trusted=False)
    except InvalidKubeconfig as error:
        raise ReconciliationFailed(f"spec.kubeConfig.secretRef {where.secret!r}: {error.message}") from error
