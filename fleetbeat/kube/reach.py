"""How a cluster is reached from the hub: which Secret holds its kubeconfig. What `fb:clusters` holds; no credentials.

Equal references are one cluster, so its requests can be bundled; the id is what queues, caps and breakers go by.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from fleetbeat.api.refs import HUB
from fleetbeat.kube.errors import InvalidKubeconfig


@dataclass(frozen=True)
class Reach:
    """A cluster id with the reference to its kubeconfig: Secret `namespace/secret` and key, "" for the usual ones."""

    cluster: str
    namespace: str = ""
    secret: str = ""
    key: str = ""

    @classmethod
    def of(cls, namespace: str, secret: str, key: str) -> Reach:
        """The cluster that a kubeconfig Secret names."""
        digest = hashlib.sha256(f"{namespace}/{secret}/{key}".encode()).hexdigest()
        return cls(f"k-{digest[:16]}", namespace, secret, key)

    @classmethod
    def decode(cls, cluster: str, record: bytes | None) -> Reach:
        """Read a record of `fb:clusters`; the hub needs none."""
        if cluster == HUB or record is None:
            return cls(cluster)
        fields = msgspec.json.decode(record)
        return cls(cluster, fields.get("namespace", ""), fields.get("secret", ""), fields.get("key", ""))

    def encode(self) -> bytes | None:
        """The record for `fb:clusters`; None for the hub."""
        if self.cluster == HUB:
            return None
        return msgspec.json.encode({"namespace": self.namespace, "secret": self.secret, "key": self.key})

    @property
    def path(self) -> str:
        """API path of the Secret on the hub."""
        return f"/api/v1/namespaces/{self.namespace}/secrets/{self.secret}"

    def kubeconfig(self, secret: Mapping[str, Any]) -> bytes:
        """The kubeconfig in the Secret object; raises InvalidKubeconfig naming the key that is missing."""
        data = secret.get("data") or {}
        keys = (self.key,) if self.key else ("value", "value.yaml")
        for key in keys:
            if key in data:
                return base64.b64decode(data[key])
        wanted = " or ".join(repr(key) for key in keys)
        raise InvalidKubeconfig(f"Secret {self.namespace}/{self.secret} has no key {wanted} holding a kubeconfig")


ON_HUB = Reach(HUB)
