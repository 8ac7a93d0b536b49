"""From a manifest to an archive: which layer is meant, and what is done with it.

Owns `spec.layerSelector`. The layer is verified before anything of it is read.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import BinaryIO

from fleetbeat.api.source import LayerSelector
from fleetbeat.artifacts.archive import Archive, write_archive
from fleetbeat.errors import ArchiveInvalid, OCILayerFailed, OCIPullFailed
from fleetbeat.sources.lastlook import name_of
from fleetbeat.sources.oci.manifest import Descriptor, Manifest
from fleetbeat.sources.oci.registry import Registry
from fleetbeat.sources.oci.shelf import LayerShelf
from fleetbeat.sources.oci.tarball import Tarball, unfold

_METADATA_BYTES = 64 * 1024
_PLATFORM = {"os": "linux", "architecture": "amd64"}


def select(manifest: Manifest, selector: LayerSelector | None) -> Descriptor:
    """The layer that `selector` means, the first without one. Raises OCILayerFailed when there is none."""
    wanted = selector.media_type if selector else None
    for layer in manifest.layers:
        if wanted in (None, "", layer.media_type):
            return layer
    if not manifest.layers:
        raise OCILayerFailed(f"the manifest {manifest.digest} has no layer")
    kinds = ", ".join(dict.fromkeys(layer.media_type for layer in manifest.layers[:10]))
    raise OCILayerFailed(f"spec.layerSelector.mediaType: no layer is of type {wanted}; the manifest has {kinds}")


def read_manifest(registry: Registry, digest: str) -> Manifest:
    """The manifest of layers with that digest; of an index that of its entry for linux/amd64, as with Flux."""
    manifest = registry.manifest(digest)
    if manifest.is_index:
        manifest = registry.manifest(_of_platform(registry, manifest).digest)
    if manifest.is_index:
        raise OCIPullFailed(f"{registry.repository}@{digest} is an image index of image indexes; set spec.ref.digest")
    if sum(len(name) + len(value) for name, value in manifest.annotations.items()) > _METADATA_BYTES:
        raise OCIPullFailed(f"{registry.repository}@{digest} has more than {_METADATA_BYTES} bytes of annotations")
    return manifest


def _of_platform(registry: Registry, index: Manifest) -> Descriptor:
    """The first entry for the platform; one that names none counts as that."""
    for entry in index.document.manifests or ():
        platform = entry.platform or _PLATFORM
        if all(platform.get(name) == wanted for name, wanted in _PLATFORM.items()):
            return entry
    raise OCIPullFailed(
        f"{registry.repository}@{index.digest} is an image index without an entry for linux/amd64; set spec.ref.digest"
        " to one of its manifests"
    )


def pull(
    registry: Registry,
    manifest: Manifest,
    selector: LayerSelector | None,
    custom: str | None,
    scratch: Path,
) -> Archive:
    """The selected layer as an archive: stored unchanged by `copy`, else unpacked and archived by our rules.

    `custom` is spec.ignore; temporary files without a name go to `scratch`. Raises OCIPullFailed when the registry is
    at fault, OCILayerFailed when the layer is.
    """
    layer = select(manifest, selector)
    if selector is not None and selector.operation == "copy":
        return _copied(registry, layer, scratch)
    shelf, name = LayerShelf(scratch / "layers"), _shelved_as(registry, layer, custom)
    found = shelf.find(name)
    if found is None:
        with _fetched(registry, layer, scratch) as file:
            found = _extracted(registry, file, custom, scratch)
        shelf.keep(name, found)
    return found


def _shelved_as(registry: Registry, layer: Descriptor, custom: str | None) -> str:
    """Only who reaches the same repository with an equal account and equal trust may meet it."""
    reach = registry.repository, registry.access.fingerprint
    return name_of(reach, layer.digest, layer.size, custom, registry.limits.archive)


def _fetched(registry: Registry, layer: Descriptor, scratch: Path) -> BinaryIO:
    file = _anonymous(scratch)
    try:
        registry.blob(layer, file)
        file.flush()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _copied(registry: Registry, layer: Descriptor, scratch: Path) -> Archive:
    if not layer.digest.startswith("sha256:"):
        raise OCILayerFailed(f"the layer has the digest {layer.digest}; to be copied it must be a sha256 one")
    return Archive(file=_fetched(registry, layer, scratch), digest=layer.digest, size=layer.size, entries=1)


def _extracted(registry: Registry, layer: BinaryIO, custom: str | None, scratch: Path) -> Archive:
    limits, deadline = registry.limits.archive, registry.deadline
    out = _anonymous(scratch)
    try:
        with _anonymous(scratch) as unfolded:
            unfold(layer, unfolded, limits, deadline)
            return write_archive(Tarball(unfolded, limits, deadline).entries(custom), out, limits)
    except ArchiveInvalid as error:
        out.close()
        raise OCILayerFailed(error.message) from error
    except BaseException:
        out.close()
        raise


def _anonymous(scratch: Path) -> BinaryIO:
    """A file without a name, so that nothing is left behind, however the process ends."""
    return tempfile.TemporaryFile(dir=scratch)
