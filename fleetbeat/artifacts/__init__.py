"""Artifacts: deterministic archives, their S3 store, and a cache on disk by digest."""

from fleetbeat.artifacts.archive import Archive, Entry, Limits, write_archive
from fleetbeat.artifacts.cache import DigestCache
from fleetbeat.artifacts.settings import CacheSettings, StoreSettings
from fleetbeat.artifacts.store import ArtifactStore, Source, Stored

__all__ = [
    "Archive",
    "ArtifactStore",
    "CacheSettings",
    "DigestCache",
    "Entry",
    "Limits",
    "Source",
    "StoreSettings",
    "Stored",
    "write_archive",
]
