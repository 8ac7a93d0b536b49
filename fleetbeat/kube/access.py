"""Clusters that a ConfigMap describes: who lets us in is asked for a token, and no credential is stored anywhere.

Owns the ConfigMap's keys, the tokens of service accounts (provider `generic`) and their life. The vendors' clusters are
in `eks.py`, `aks.py` and `gke.py`, and what these share in `managed.py`.

Whoever writes the ConfigMap also chooses the address that tokens are sent to. So they are those of a service account in
the ConfigMap's own namespace; the worker's own identity never goes to an address that somebody wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from fleetbeat.clouds import Token
from fleetbeat.errors import InvalidSpec
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig, KubeError, NotFound, Unauthorized
from fleetbeat.kube.reach import Reach
from fleetbeat.kube.wellformed import is_url

PROVIDERS = ("generic", "aws", "azure", "gcp")
TOKEN_SECONDS = 3600
"""How long a token of a service account is asked to live; the API server may shorten it."""
USED = 0.8
"""Share of a token's life after which another one is asked for."""
DESCRIPTION_LASTS = 900.0
"""Seconds for which a cluster is where its vendor said; authorities are rotated."""
APART = 10.0
"""Seconds from one question to the next at least, when no token is to be had or the cluster takes none."""


class Tokens:
    """The newest token, asked for again before it ends. Thread-safe; for `ClusterConfig.token`."""

    def __init__(self, ask: Callable[[], Token]) -> None:
        """ask: gets a token; its KubeErrors become Unauthorized, lest a 404 reads as that of an object."""
        self._ask = ask
        self._lock = threading.Lock()
        self._held = Token("", 0.0)
        self._asked = self._renew = 0.0
        self._error = ""

    def __call__(self) -> str:
        """The token; raises Unauthorized when there is none to be had."""
        with self._lock:
            if time() >= self._renew:
                self._ask_anew()
            return self._held.value

    def refused(self) -> None:
        """The cluster does not take the token: another one is asked for, if this one was not got just now."""
        with self._lock:
            if time() > self._asked + APART:
                self._renew = 0.0

    def open(self, server: str, ca: bytes | None) -> ClusterConfig:
        """The cluster there, entered with these tokens."""
        return ClusterConfig(server, ca=ca, token=self, refused=self.refused)

    def _ask_anew(self) -> None:
        """Once for all requests of a run, also where it is in vain. A token that still lives is used meanwhile."""
        if not self._error or time() > self._asked + APART:
            try:
                self._held, self._error = self._ask(), ""
            except KubeError as error:
                self._error = error.message
            self._asked = time()
        if self._error and time() >= self._held.until:
            raise Unauthorized(self._error, status=401)
        self._renew = self._asked + (APART if self._error else (self._held.until - self._asked) * USED)


@dataclass(frozen=True, slots=True)
class Described:
    """What a ConfigMap says of a cluster."""

    provider: str
    cluster: str = ""
    """The provider's own name of the cluster, such as an ARN or the id of a resource."""
    address: str = ""
    ca: str = ""
    """PEM; "" for the system's authorities, or for what the provider says."""
    audiences: tuple[str, ...] = ()
    account: str = ""
    """Service account in the ConfigMap's namespace; "" where the installation's default or the worker's identity is."""

    @classmethod
    def read(cls, data: Mapping[str, str], default_account: str = "") -> Described:
        """From a ConfigMap's data. Raises InvalidKubeconfig, and InvalidSpec for a provider that is not supported."""
        provider = data.get("provider") or ""
        if provider not in PROVIDERS:
            raise InvalidSpec(
                f"provider {provider!r} is not supported; use {', '.join(PROVIDERS)}, or a kubeconfig in a Secret by "
                "spec.kubeConfig.secretRef"
            )
        lines = (line.strip() for line in (data.get("audiences") or "").splitlines())
        return cls(
            provider,
            data.get("cluster") or "",
            data.get("address") or "",
            data.get("ca.crt") or "",
            tuple(line for line in lines if line),
            data.get("serviceAccountName") or default_account,
        )


def open_cluster(hub: KubeClient, where: Reach, holder: Mapping[str, Any], default_account: str) -> ClusterConfig:
    """How the cluster `where` is reached, by the Secret or ConfigMap object that says it.

    Raises InvalidKubeconfig naming the key, InvalidSpec for a provider that is not supported, and Unauthorized.
    """
    if where.config_map:
        return config_of(hub, where.namespace, Described.read(holder.get("data") or {}, default_account))
    return ClusterConfig.from_kubeconfig(where.kubeconfig(holder), trusted=False)


def config_of(hub: KubeClient, namespace: str, described: Described) -> ClusterConfig:
    """How the described cluster is reached. Raises InvalidKubeconfig naming the key of the ConfigMap."""
    if described.provider != "generic":
        from fleetbeat.kube import aks, eks, gke

        vendors = {"aws": eks.config_of, "azure": aks.config_of, "gcp": gke.config_of}
        return vendors[described.provider](hub, namespace, described)
    if not described.account:
        raise InvalidKubeconfig("serviceAccountName is missing: name a ServiceAccount of this namespace")
    if not described.address:
        raise InvalidKubeconfig("address is missing: the URL of the cluster's API server")
    audiences = described.audiences or (described.address,)

    def ask() -> Token:
        return account_token(hub, namespace, described.account, audiences)

    return Tokens(ask).open(server_of(described.address), ca_of(described.ca))


def server_of(address: str) -> str:
    """`https://host:port`; a bare host is https. Raises InvalidKubeconfig on anything that is not https."""
    url = address if "://" in address else f"https://{address}"
    if not url.startswith("https://") or not is_url(url):
        raise InvalidKubeconfig("address is not of the form https://host:port")
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"https://{f'[{host}]' if ':' in host else host}:{parts.port or 443}"


def ca_of(text: str) -> bytes | None:
    """The authority to trust; None for the system's."""
    return text.encode() if text.strip() else None


class _TokenStatus(msgspec.Struct, frozen=True, rename="camel"):
    token: str
    expiration_timestamp: datetime


class _TokenAnswer(msgspec.Struct, frozen=True):
    status: _TokenStatus


_decode = msgspec.json.Decoder(_TokenAnswer).decode


def account_token(hub: KubeClient, namespace: str, name: str, audiences: tuple[str, ...]) -> Token:
    """A token of a service account of the hub. Raises KubeError; NotFound is told as a missing ServiceAccount."""
    spec: dict[str, Any] = {"audiences": list(audiences), "expirationSeconds": TOKEN_SECONDS}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    try:
        answer = hub.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", body=body)
    except NotFound as error:
        raise Unauthorized(f"ServiceAccount {namespace}/{name} not found", status=401) from error
    status = _decode(answer).status
    return Token(status.token, status.expiration_timestamp.timestamp())
