"""From a resource's `spec.kubeConfig` and service account to the cluster that it is applied to.

Owns the process's clients: one per cluster and version of the Secret or ConfigMap that says how it is reached; the
least recently used is dropped, and what a vendor may have told is asked for anew now and then.
Reads Secrets and ConfigMaps from the hub; never keeps their values anywhere but in memory.
"""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from fleetbeat.api.refs import HUB
from fleetbeat.errors import InvalidSpec, ReconciliationFailed
from fleetbeat.kube.access import DESCRIPTION_LASTS, open_cluster
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.discovery import Discovery
from fleetbeat.kube.errors import InvalidKubeconfig, NotFound, Unauthorized
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


@dataclass(frozen=True, slots=True)
class _Held:
    target: Target
    since: float


class Targets:
    """All clusters that this process talks to. Thread-safe."""

    def __init__(self, hub: KubeClient, default_account: str = "") -> None:
        """default_account: the service account of ConfigMaps that name none."""
        self.reader = HubReader(hub)
        self._hub = Target.of(hub)
        self._default_account = default_account
        self._clients: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._lock = threading.Lock()

    def reach(self, where: Reach, account: str = "") -> Target:
        """The cluster `where`; everything but metadata goes through `account` (`namespace:name`) when it is given.

        Raises ReconciliationFailed when the Secret or ConfigMap is missing or unusable.
        """
        base = self._hub if where.cluster == HUB else self._remote(where)
        if not account:
            return base
        user = f"system:serviceaccount:{account}"
        return Target.of(base.client, base.client.impersonate(user), base.discovery)

    def _remote(self, where: Reach) -> Target:
        holder = self._holder(where)
        slot = (where.cluster, f"{holder['metadata']['uid']}@{holder['metadata']['resourceVersion']}")
        with self._lock:
            held = self._clients.get(slot)
            if held is not None and (not where.config_map or monotonic() - held.since < DESCRIPTION_LASTS):
                self._clients.move_to_end(slot)
                return held.target
        client = KubeClient(self._config(where, holder))
        target = Target.of(client, discovery=Discovery(client))
        with self._lock:
            for old in [key for key in self._clients if key[0] == where.cluster]:
                del self._clients[old]
            self._clients[slot] = _Held(target, monotonic())
            while len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
        return target

    def _holder(self, where: Reach) -> dict[str, Any]:
        """The Secret or ConfigMap."""
        try:
            found: dict[str, Any] = self._hub.client.get(where.path)
        except NotFound as error:
            kind, field = ("ConfigMap", "configMapRef") if where.config_map else ("Secret", "secretRef")
            name = f"{kind} {where.namespace}/{where.config_map or where.secret}"
            raise ReconciliationFailed(f"spec.kubeConfig.{field}: {name} not found") from error
        return found

    def _config(self, where: Reach, holder: Mapping[str, Any]) -> ClusterConfig:
        try:
            return open_cluster(self._hub.client, where, holder, self._default_account)
        except (InvalidKubeconfig, Unauthorized, NotFound, InvalidSpec) as error:
            field, name = ("configMapRef", where.config_map) if where.config_map else ("secretRef", where.secret)
            raise ReconciliationFailed(f"spec.kubeConfig.{field} {name!r}: {error.message}") from error
