"""What registries keep besides blobs: manifests, indexes and their descriptors. Owns the Structs and media types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from fleetbeat.errors import OCIPullFailed

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPT = ", ".join((OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_INDEX))
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
FLUX_CONFIG = "application/vnd.cncf.flux.config.v1+json"
FLUX_LAYER = "application/vnd.cncf.flux.content.v1.tar+gzip"


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A pointer to a blob or manifest of the same repository."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] | None = None
    artifact_type: str | None = None
    platform: dict[str, Any] | None = None
    data: str | None = None


class Document(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A manifest or an index, as it is written."""

    schema_version: int
    media_type: str | None = None
    artifact_type: str | None = None
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index that was read, with the bytes that its digest is of."""

    digest: str
    media_type: str
    raw: bytes
    document: Document

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests, of platforms or of referrers, instead of layers."""
        return self.media_type in (OCI_INDEX, DOCKER_INDEX)

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        return self.document.layers

    @property
    def annotations(self) -> dict[str, str]:
        return self.document.annotations or {}

    @property
    def descriptor(self) -> Descriptor:
        """What points to it, as `subject` of a signature for instance."""
        return Descriptor(self.media_type, self.digest, len(self.raw))


_DOCUMENT = msgspec.json.Decoder(Document)


def read_manifest(raw: bytes, digest: str, media_type: str, what: str) -> Manifest:
    """Decode a manifest whose digest was verified; raises OCIPullFailed when it is none that is understood.

    `media_type` is the Content-Type; one inside the document must agree, so that nobody reads it in two ways.
    """
    try:
        document = _DOCUMENT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OCIPullFailed(f"{what}: the manifest cannot be read: {error}") from error
    kind = document.media_type or media_type
    if kind != media_type and media_type in _KNOWN:
        raise OCIPullFailed(f"{what}: the manifest says it is {kind}, the registry says {media_type}")
    if document.schema_version != 2 or kind not in _KNOWN:
        raise OCIPullFailed(
            f"{what}: manifests of type {kind or 'unknown'} are not supported; OCI's and Docker's v2 are"
        )
    if (document.manifests is not None) != (kind in (OCI_INDEX, DOCKER_INDEX)):
        raise OCIPullFailed(f"{what}: the manifest is not of its type {kind}")
    return Manifest(digest, kind, raw, document)


_KNOWN = frozenset((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX))
msgspec.json.encode(Document(2))  # described now, while one thread is at work (see api/decode.py)
