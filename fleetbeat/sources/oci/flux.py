"""Artifacts in the form that the flux command line pushes: one layer, a small config, annotations of origin.

Owns the media types of that form and references with a tag or digest, as they stand on a command line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

import msgspec

from fleetbeat.artifacts.archive import Archive
from fleetbeat.errors import InvalidURL
from fleetbeat.sources.oci.manifest import FLUX_CONFIG, FLUX_LAYER, OCI_MANIFEST, Descriptor, Document
from fleetbeat.sources.oci.push import WritableRegistry
from fleetbeat.sources.oci.reference import Repository, digest_of, is_digest, is_tag
from fleetbeat.sources.oci.registry import Progress

CREATED = "org.opencontainers.image.created"
SOURCE = "org.opencontainers.image.source"
REVISION = "org.opencontainers.image.revision"


@dataclass(frozen=True)
class Reference:
    """`oci://host/path:tag` or `oci://host/path@sha256:…`; without either it means the tag `latest`."""

    repository: Repository
    name: str
    """Tag or digest."""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises InvalidURL."""
        url, at, digest = text.partition("@")
        head, colon, tag = url.rpartition(":")
        if not colon or "/" in tag:
            head, tag = url, ""
        name = digest if at else tag or "latest"
        if not (is_digest(name) if at else is_tag(name)):
            raise InvalidURL(f"{text!r}: {name!r} is neither a tag nor a sha256 digest")
        return cls(Repository.parse(head, "the URL"), name)

    def __str__(self) -> str:
        return f"oci://{self.repository}{'@' if is_digest(self.name) else ':'}{self.name}"


def push(
    registry: WritableRegistry,
    tag: str,
    archive: Archive,
    created: datetime,
    annotations: Mapping[str, str],
    progress: Progress | None = None,
) -> str:
    """Upload `archive` as the one layer of an artifact and tag it; returns the manifest's digest.

    `created` is written down as given, so equal arguments make equal digests.
    """
    time = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    config = json.dumps({"created": time, "architecture": "", "os": "", "config": {}, "rootfs": _rootfs(archive)})
    registry.push_blob(digest_of(config.encode()), len(config), BytesIO(config.encode()))
    registry.push_blob(archive.digest, archive.size, archive.file, progress)
    document = Document(
        schema_version=2,
        media_type=OCI_MANIFEST,
        config=Descriptor(FLUX_CONFIG, digest_of(config.encode()), len(config)),
        layers=(Descriptor(FLUX_LAYER, archive.digest, archive.size),),
        annotations={CREATED: time, **annotations},
    )
    return registry.push_manifest(tag, msgspec.json.encode(document, order="sorted"), OCI_MANIFEST)


def _rootfs(archive: Archive) -> dict[str, object]:
    return {"type": "layers", "diff_ids": [archive.digest]}
