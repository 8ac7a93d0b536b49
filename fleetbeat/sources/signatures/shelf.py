"""A registry's client as verification sees it. Owns nothing but the translation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fleetbeat.errors import OCINotFound
from fleetbeat.sources.oci.manifest import Descriptor, Manifest
from fleetbeat.sources.oci.registry import Registry


@dataclass(frozen=True)
class RegistryShelf:
    """The signatures beside an artifact in the repository of `registry`."""

    registry: Registry

    def manifest(self, reference: str) -> Manifest | None:
        """The manifest of a tag or digest; None when there is none."""
        try:
            return self.registry.manifest(reference)
        except OCINotFound:
            return None

    def blob(self, descriptor: Descriptor, limit: int) -> bytes:
        """A blob of at most `limit` bytes."""
        return self.registry.read_blob(descriptor, limit)

    def referrers(self, digest: str) -> Sequence[Descriptor]:
        """The manifests whose `subject` is `digest`."""
        return self.registry.referrers(digest)
