"""ExternalArtifacts on the hub as an ArtifactGenerator's output: read, written, deleted, with their archives in S3.

Owns what such an object looks like and who it belongs to. Everything is done under the worker's own account. The
registrar, which watches the kind, publishes what is written here; nothing here talks to Redis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleetbeat.api.conditions import set_condition
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.refs import Ref
from fleetbeat.artifacts.archive import Archive
from fleetbeat.artifacts.store import ArtifactStore, Source
from fleetbeat.errors import ReconciliationFailed
from fleetbeat.kube.client import JSON_PATCH, PARTIAL, KubeClient
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.status import now_text

GENERATOR = "source.extensions.fluxcd.io/generator"
"""Label with the uid of the generator."""
MANAGER = "source-watcher"
"""Flux's field manager and `managed-by`, so that outputs change hands without a fight over fields."""
_KIND, _OWNER = KINDS["ExternalArtifact"], KINDS["ArtifactGenerator"]

Object = dict[str, Any]


@dataclass(frozen=True)
class Metadata:
    """What the generator asks its outputs to carry."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outputs:
    """The ExternalArtifacts of one generator."""

    client: KubeClient
    store: ArtifactStore
    owner: Ref
    uid: str
    """The generator's."""

    def read(self) -> dict[str, Object]:
        """name → every ExternalArtifact of the namespace, others' included."""
        found: list[Object] = self.client.list(_KIND.path(self.owner.namespace))["items"]
        return {obj["metadata"]["name"]: obj for obj in found}

    def is_ours(self, obj: Mapping[str, Any]) -> bool:
        """Made by this generator, or by one of its name that was here before."""
        if (obj["metadata"].get("labels") or {}).get(GENERATOR) == self.uid:
            return True
        source = (obj.get("spec") or {}).get("sourceRef") or {}
        wanted = (self.owner.kind, self.owner.namespace, self.owner.name)
        return (source.get("kind"), source.get("namespace"), source.get("name")) == wanted

    def desired(self, name: str, metadata: Metadata) -> Object:
        """The object without its status."""
        labels = {**metadata.labels, "app.kubernetes.io/managed-by": MANAGER, GENERATOR: self.uid}
        origin = {"apiVersion": _OWNER.api_version, "kind": _OWNER.name, "name": self.owner.name}
        return {
            "apiVersion": _KIND.api_version,
            "kind": _KIND.name,
            "metadata": {
                "name": name,
                "namespace": self.owner.namespace,
                "labels": labels,
                "annotations": dict(metadata.annotations),
                "ownerReferences": [{**origin, "uid": self.uid}],
            },
            "spec": {"sourceRef": {**origin, "namespace": self.owner.namespace}},
        }

    def apply(self, desired: Mapping[str, Any], live: Mapping[str, Any] | None) -> Object:
        """Write the object; raises ReconciliationFailed where one of somebody else has its name."""
        name = desired["metadata"]["name"]
        if live is not None and not self.is_ours(live):
            raise ReconciliationFailed(
                f"ExternalArtifact {self.owner.namespace}/{name} belongs to somebody else; rename spec.artifacts[].name"
            )
        return self.client.apply(_KIND.path(self.owner.namespace, name), desired, MANAGER)

    def keep(self, obj: Mapping[str, Any], filename: str, archive: Archive) -> None:
        """The archive goes into S3, below the folder of its ExternalArtifact."""
        self.store.put(self.source(obj), filename, archive.file, archive.digest, archive.size)

    def is_kept(self, obj: Mapping[str, Any], filename: str, digest: str) -> bool:
        """Whether S3 has it."""
        return self.store.exists(self.store.key(self.source(obj), filename, digest))

    def announce(self, obj: Mapping[str, Any], artifact: Object) -> None:
        """Write its status; consumers follow that."""
        status = dict(obj.get("status") or {})
        conditions = [dict(condition) for condition in status.get("conditions") or []]
        generation = int(obj["metadata"].get("generation") or 0)
        set_condition(conditions, "Ready", "True", "Succeeded", "Artifact is ready", generation, now_text())
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": obj["metadata"]["uid"]},
            {"op": "add", "path": "/status", "value": {**status, "artifact": artifact, "conditions": conditions}},
        ]
        path = _KIND.path(self.owner.namespace, obj["metadata"]["name"], "status")
        self.client.patch(path, patch, JSON_PATCH, {"fieldManager": MANAGER}, PARTIAL)

    def collect(self, obj: Mapping[str, Any], filename: str, digest: str) -> None:
        """Old archives of an output go, as far as retention allows."""
        self.store.collect(self.source(obj), {self.store.key(self.source(obj), filename, digest)})

    def delete(self, obj: Mapping[str, Any]) -> None:
        """The object, then its archives; one that is gone already is fine."""
        meta = obj["metadata"]
        try:
            self.client.delete(_KIND.path(self.owner.namespace, meta["name"]), uid=meta["uid"])
        except NotFound:
            pass
        self.store.delete_all(self.source(obj))

    def source(self, obj: Mapping[str, Any]) -> Source:
        """Whose archives they are."""
        meta = obj["metadata"]
        return Source(_KIND.name, meta["namespace"], meta["name"], meta["uid"])
