"""Azure AKS: the cluster's addresses and authority from Azure's API, and tokens of Microsoft Entra to enter it.

The cluster must have Entra integration: only then does it take such tokens. The worker's cloud is that of the variable
AZURE_AUTHORITY_HOST, which azure-identity reads too.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from fleetbeat import clouds
from fleetbeat.clouds import Token
from fleetbeat.kube import managed, vendorlogins
from fleetbeat.kube.access import Described, server_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig
from fleetbeat.kube.kubeconfig import address_of
from fleetbeat.kube.managed import Endpoint

SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
"""Every AKS cluster of every tenant, as Entra calls it."""
MANAGEMENT = {
    "login.microsoftonline.com": "https://management.azure.com",
    "login.chinacloudapi.cn": "https://management.chinacloudapi.cn",
    "login.partner.microsoftonline.cn": "https://management.chinacloudapi.cn",
    "login.microsoftonline.us": "https://management.usgovcloudapi.net",
}
"""Where clusters are described, by where one logs in."""
_VERSION = "2024-05-01"
_ID = re.compile(
    r"/subscriptions/[0-9a-f-]{36}/resourceGroups/[\w.()-]{0,89}[\w()-]/providers/Microsoft\.ContainerService/managedClusters"
    r"/(?P<name>[0-9a-z][\w-]{0,62})",
    re.IGNORECASE,
)


def config_of(hub: KubeClient, namespace: str, described: Described) -> ClusterConfig:
    """How the cluster is reached. Raises InvalidKubeconfig or Unauthorized."""

    def ask(scope: str) -> Token:
        with managed.asking("AKS", "azure"):
            return clouds.azure(scope, _login(hub, namespace, described.account))

    return managed.config_of(described, lambda: _describe(described.cluster, ask), lambda: ask(SCOPE))


def _describe(cluster: str, ask: Callable[[str], Token]) -> list[Endpoint]:
    """What Azure says of the cluster: kubeconfigs, of which only address and authority are used."""
    found = _ID.fullmatch(cluster)
    if found is None:
        raise InvalidKubeconfig(
            "cluster is not the resource id of an AKS cluster, /subscriptions/ID/resourceGroups/GROUP/providers/"
            "Microsoft.ContainerService/managedClusters/NAME"
        )
    what, management = f"AKS cluster {found['name']}", _management()
    token = ask(f"{management}/.default").value
    properties = managed.ask(what, token, f"{management}{cluster}?api-version={_VERSION}").get("properties") or {}
    if not properties.get("aadProfile"):
        raise InvalidKubeconfig(f"{what} has no Microsoft Entra integration, so it takes no tokens of Azure; enable it")
    url = f"{management}{cluster}/listClusterUserCredential?api-version={_VERSION}"
    answer = managed.ask(what, token, url, method="POST")
    return [_endpoint(what, one) for one in answer.get("kubeconfigs") or ()]


def _endpoint(what: str, kubeconfig: dict[str, Any]) -> Endpoint:
    try:
        server, ca = address_of(base64.b64decode(kubeconfig["value"], validate=True))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidKubeconfig(f"{what}: Azure's kubeconfig cannot be read") from error
    return Endpoint(server_of(server), ca)


def _management() -> str:
    host = os.environ.get("AZURE_AUTHORITY_HOST") or "login.microsoftonline.com"
    name = urlsplit(host if "://" in host else f"https://{host}").hostname or ""
    if name not in MANAGEMENT:
        raise InvalidKubeconfig(f"AZURE_AUTHORITY_HOST {name} belongs to no known cloud; give address and ca.crt")
    return MANAGEMENT[name]


def _login(hub: KubeClient, namespace: str, account: str) -> Any:
    return vendorlogins.azure_credential(hub, namespace, account) if account else None
