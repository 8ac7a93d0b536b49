"""How a cluster is reached from the hub: which Secret holds its kubeconfig, or which ConfigMap says who lets us in.

This is what `fb:clusters` holds; no credentials. Equal references are one cluster, so its requests can be bundled; the
id is what queues, caps and breakers go by.
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
    """A cluster id with the reference to its kubeconfig: Secret `namespace/secret` and key, "" for the usual ones.

    Or with the ConfigMap `namespace/config_map`, which describes access without a stored credential.
    """

    cluster: str
    namespace: str = ""
    secret: str = ""
    key: str = ""
    config_map: str = ""

    @classmethod
    def of(cls, namespace: str, secret: str, key: str) -> Reach:
        """The cluster that a kubeconfig Secret names."""
        return cls(_id(f"{namespace}/{secret}/{key}"), namespace, secret, key)

    @classmethod
    def by_config_map(cls, namespace: str, name: str) -> Reach:
        """The cluster that a ConfigMap describes."""
        return cls(_id(f"ConfigMap/{namespace}/{name}"), namespace, config_map=name)

    @classmethod
    def of_spec(cls, namespace: str, spec: Mapping[str, Any]) -> Reach:
        """The cluster of `spec.kubeConfig`, as JSON; the hub where there is none, or none that names anything."""
        config = _mapping(spec.get("kubeConfig"))
        secret, config_map = _mapping(config.get("secretRef")), _mapping(config.get("configMapRef"))
        if secret.get("name"):
            return cls.of(namespace, secret["name"], secret.get("key") or "")
        return cls.by_config_map(namespace, config_map["name"]) if config_map.get("name") else ON_HUB

    @classmethod
    def at(cls, namespace: str, place: str) -> Reach:
        """The cluster of a `place`, as `place` prints it, of a resource in `namespace`."""
        kind, _, rest = place.partition("/")
        if not rest:
            return ON_HUB
        name, _, key = rest.partition("/")
        return cls.by_config_map(namespace, name) if kind == "ConfigMap" else cls.of(namespace, name, key)

    @property
    def place(self) -> str:
        """`Secret/name`, `Secret/name/key` or `ConfigMap/name`; "" for the hub. Means something in its namespace."""
        if self.config_map:
            return f"ConfigMap/{self.config_map}"
        return "/".join(part for part in ("Secret", self.secret, self.key) if part) if self.secret else ""

    @classmethod
    def decode(cls, cluster: str, record: bytes | None) -> Reach:
        """Read a record of `fb:clusters`; the hub needs none."""
        if cluster == HUB or record is None:
            return cls(cluster)
        fields = msgspec.json.decode(record)
        return cls(cluster, **{name: fields.get(name, "") for name in ("namespace", "secret", "key", "config_map")})

    def encode(self) -> bytes | None:
        """The record for `fb:clusters`; None for the hub."""
        if self.cluster == HUB:
            return None
        fields = {"namespace": self.namespace, "secret": self.secret, "key": self.key, "config_map": self.config_map}
        return msgspec.json.encode({name: value for name, value in fields.items() if value})

    @property
    def path(self) -> str:
        """API path of the Secret or the ConfigMap on the hub."""
        plural, name = ("configmaps", self.config_map) if self.config_map else ("secrets", self.secret)
        return f"/api/v1/namespaces/{self.namespace}/{plural}/{name}"

    def kubeconfig(self, secret: Mapping[str, Any]) -> bytes:
        """The kubeconfig in the Secret object; raises InvalidKubeconfig naming the key that is missing."""
        data = secret.get("data") or {}
        keys = (self.key,) if self.key else ("value", "value.yaml")
        for key in keys:
            if key in data:
                return base64.b64decode(data[key])
        wanted = " or ".join(repr(key) for key in keys)
        raise InvalidKubeconfig(f"Secret {self.namespace}/{self.secret} has no key {wanted} holding a kubeconfig")


def _id(reference: str) -> str:
    return f"k-{hashlib.sha256(reference.encode()).hexdigest()[:16]}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


ON_HUB = Reach(HUB)
