"""Google GKE: the cluster's addresses and authority from Google's API, and access tokens of Google to enter it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from fleetbeat import clouds
from fleetbeat.clouds import Token
from fleetbeat.kube import managed, vendorlogins
from fleetbeat.kube.access import Described, server_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig
from fleetbeat.kube.managed import Endpoint

API = "https://container.googleapis.com"
"""The only server, besides the cluster, that sees access tokens."""
SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
_CLUSTER = re.compile(r"projects/\w[\w.:-]{0,200}/locations/[\w-]{1,100}/clusters/(?P<name>[\w-]{1,100})")


def config_of(hub: KubeClient, namespace: str, described: Described) -> ClusterConfig:
    """How the cluster is reached. Raises InvalidKubeconfig or Unauthorized."""

    def ask() -> Token:
        with managed.asking("GKE", "gcp"):
            return clouds.google(SCOPES, _login(hub, namespace, described.account))

    return managed.config_of(described, lambda: _describe(described.cluster, ask), ask)


def _describe(cluster: str, ask: Callable[[], Token]) -> list[Endpoint]:
    """Its addresses as Google says them, the usual one first; that by DNS has a certificate of Google's own."""
    found = _CLUSTER.fullmatch(cluster)
    if found is None:
        raise InvalidKubeconfig(
            "cluster is not the name of a GKE cluster, projects/PROJECT/locations/LOCATION/clusters/NAME"
        )
    what = f"GKE cluster {found['name']}"
    answer = managed.ask(what, ask().value, f"{API}/v1/{cluster}")
    try:
        ca = base64.b64decode(_at(answer, "masterAuth", "clusterCaCertificate"), validate=True)
    except binascii.Error as error:
        raise InvalidKubeconfig(f"{what}: its authority cannot be read") from error
    control = answer.get("controlPlaneEndpointsConfig") or {}
    named = [
        answer.get("endpoint"),
        *(_at(control, "ipEndpointsConfig", which) for which in ("publicEndpoint", "privateEndpoint")),
        *(_at(answer, "privateClusterConfig", which) for which in ("publicEndpoint", "privateEndpoint")),
    ]
    endpoints = [Endpoint(server_of(one), ca) for one in dict.fromkeys(named) if one and ca]
    by_name = _at(control, "dnsEndpointConfig", "endpoint")
    return [*endpoints, Endpoint(server_of(by_name), None)] if by_name else endpoints


def _at(fields: Mapping[str, Any], group: str, name: str) -> str:
    return str((fields.get(group) or {}).get(name) or "")


def _login(hub: KubeClient, namespace: str, account: str) -> Any:
    return vendorlogins.google_credentials(hub, namespace, account, SCOPES) if account else None
