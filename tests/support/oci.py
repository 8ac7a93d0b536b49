"""OCI artifacts for tests: trees of files as layers, pushed with our own client."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from fleetbeat.artifacts.archive import Archive, Entry, write_archive
from fleetbeat.errors import OCIPullFailed
from fleetbeat.sources.credentials import HttpCredentials
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci import flux
from fleetbeat.sources.oci.login import NOBODY, Access, Login
from fleetbeat.sources.oci.manifest import FLUX_CONFIG, OCI_MANIFEST, Descriptor, Document
from fleetbeat.sources.oci.push import WritableRegistry
from fleetbeat.sources.oci.reference import Repository, digest_of
from fleetbeat.sources.oci.registry import Registry
from tools.registry import RegistryServer

MADE = datetime(2026, 1, 1, tzinfo=UTC)


def access_to(server: RegistryServer, login: Login | None = None, *, certificate: bool = True) -> Access:
    """How a client that trusts `server` reaches it; by default with its account."""
    account = Login(*server.account) if server.account else NOBODY
    trust = HttpCredentials(ca=server.ca) if server.authority else HttpCredentials()
    if server.authority and certificate:
        pair = server.client_certificate()
        trust = HttpCredentials(ca=server.ca, certificate=pair.certificate, key=pair.key)
    return Access(login or account, trust, insecure=server.authority is None)


def repository(host: str, name: str) -> Repository:
    """`oci://<host>/<name>`"""
    return Repository.parse(f"oci://{host}/{name}")


def client(host: str, name: str, access: Access | None = None, seconds: float = 20) -> Registry:
    """A reader of a plain registry, or with `access`."""
    return Registry(repository(host, name), access or Access(insecure=True), Deadline.after(seconds, OCIPullFailed))


def writer(server: RegistryServer, name: str) -> WritableRegistry:
    """A client that may push."""
    return WritableRegistry(repository(server.host, name), access_to(server), Deadline.after(20, OCIPullFailed))


def archive(files: Mapping[str, str]) -> Archive:
    """Files as tar.gz in memory."""
    entries = [Entry(path, text.encode) for path, text in sorted(files.items())]
    return write_archive(entries, io.BytesIO())


def push(
    server: RegistryServer, name: str, tag: str, files: Mapping[str, str], annotations: Mapping[str, str] | None = None
) -> str:
    """Push files as Flux does; returns the manifest's digest."""
    return flux.push(writer(server, name), tag, archive(files), MADE, annotations or {})


def push_layers(server: RegistryServer, name: str, tag: str, layers: list[tuple[str, bytes]], **fields: Any) -> str:
    """Push a manifest with layers of those media types and bytes; returns its digest."""
    registry = writer(server, name)
    for data in (b"{}", *(layer for _, layer in layers)):
        registry.push_blob(digest_of(data), len(data), io.BytesIO(data))
    document = Document(
        schema_version=2,
        media_type=OCI_MANIFEST,
        config=Descriptor(FLUX_CONFIG, digest_of(b"{}"), 2),
        layers=tuple(Descriptor(kind, digest_of(data), len(data)) for kind, data in layers),
        **fields,
    )
    return registry.push_manifest(tag, msgspec.json.encode(document), OCI_MANIFEST)


def content(made: Archive) -> dict[str, str]:
    """The files of an archive."""
    made.file.seek(0)
    with tarfile.open(fileobj=made.file, mode="r:gz") as tar:
        opened = {member.name: tar.extractfile(member) for member in tar.getmembers() if member.isfile()}
        return {name: file.read().decode() for name, file in opened.items() if file is not None}
