"""Artifacts and their signatures in a repository: in memory, or in a real registry, written in the same way."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Protocol

from fleetbeat.sources.oci.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest, read_manifest
from fleetbeat.sources.oci.push import WritableRegistry
from fleetbeat.sources.oci.reference import digest_of
from fleetbeat.sources.signatures import Target

EMPTY = b"{}"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"


class Writer(Protocol):
    """Where manifests and blobs go."""

    def put_blob(self, data: bytes) -> None: ...
    def put_manifest(self, reference: str, raw: bytes, media_type: str) -> None: ...


@dataclass
class MemoryShelf:
    """One repository in memory, for reading and writing."""

    manifests: dict[str, Manifest] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def put_blob(self, data: bytes) -> None:
        self.blobs[digest_of(data)] = data

    def put_manifest(self, reference: str, raw: bytes, media_type: str) -> None:
        manifest = read_manifest(raw, digest_of(raw), media_type, reference)
        self.manifests[reference] = self.manifests[manifest.digest] = manifest

    def manifest(self, reference: str) -> Manifest | None:
        return self.manifests.get(reference)

    def blob(self, descriptor: Descriptor, limit: int) -> bytes:
        assert descriptor.size <= limit
        return self.blobs[descriptor.digest]

    def referrers(self, digest: str) -> Sequence[Descriptor]:
        index = self.manifests.get(digest.replace(":", "-"))
        return () if index is None else index.document.manifests or ()


@dataclass
class RegistryWriter:
    """One repository of a real registry."""

    registry: WritableRegistry

    def put_blob(self, data: bytes) -> None:
        self.registry.push_blob(digest_of(data), len(data), BytesIO(data))

    def put_manifest(self, reference: str, raw: bytes, media_type: str) -> None:
        self.registry.push_manifest(reference, raw, media_type)


def descriptor(media_type: str, data: bytes, **more: Any) -> dict[str, Any]:
    """The JSON of a descriptor."""
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


def push(
    to: Writer,
    reference: str,
    layers: Sequence[tuple[str, bytes, Mapping[str, str]]],
    *,
    config: str = "application/vnd.oci.empty.v1+json",
    **more: Any,
) -> bytes:
    """Write a manifest with these layers (media type, content, annotations); an empty reference is its digest."""
    to.put_blob(EMPTY)
    for _, data, _ in layers:
        to.put_blob(data)
    listed = [descriptor(kind, data, annotations=dict(notes)) for kind, data, notes in layers]
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(config, EMPTY), "layers": listed}
    raw = json.dumps(document | more).encode()
    to.put_manifest(reference or digest_of(raw), raw, OCI_MANIFEST)
    return raw


def put_artifact(to: Writer, content: bytes = b"manifests", tag: str = "latest") -> Target:
    """An artifact that may be signed."""
    raw = push(to, tag, [("application/vnd.oci.image.layer.v1.tar+gzip", content, {})])
    return Target("registry.example/app", digest_of(raw), OCI_MANIFEST, len(raw))


def put_simple(to: Writer, digest: str, payload: bytes, signature: bytes, **annotations: str) -> None:
    """A signature as cosign stores it under its tag; `annotations` are `certificate` and `bundle`."""
    notes = {"dev.cosignproject.cosign/signature": base64.b64encode(signature).decode()}
    notes |= {f"dev.sigstore.cosign/{name}": value for name, value in annotations.items()}
    push(to, f"{digest.replace(':', '-')}.sig", [(SIMPLE, payload, notes)])


def put_referrers(to: Writer, target: Target, *attached: tuple[str, str, bytes]) -> None:
    """Manifests that refer to the target (artifact type, media type, content), and the index that tells of them."""
    subject = {"mediaType": target.media_type, "digest": target.digest, "size": target.size}
    listed = []
    for kind, media_type, data in attached:
        raw = push(to, "", [(media_type, data, {})], artifactType=kind, subject=subject)
        listed.append(descriptor(OCI_MANIFEST, raw, artifactType=kind))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
    to.put_manifest(target.digest.replace(":", "-"), json.dumps(index).encode(), OCI_INDEX)
