"""Where artifacts live: the settings of the S3 store and of the cache on disk, read from the environment.

Owns the names of the variables. It connects to nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleetbeat.errors import InvalidSpec

GIB = 1024**3


@dataclass(frozen=True)
class StoreSettings:
    """How the S3 store is reached. Without keys, the usual AWS sources are asked (role, profile, instance)."""

    bucket: str
    endpoint: str | None = None
    """URL of an S3-compatible server; None is AWS itself."""
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    region: str = "us-east-1"
    prefix: str = ""
    """Put before every key; ends in `/` unless empty."""
    ca_file: str | None = None
    """PEM file with the authority of the endpoint's certificate."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> StoreSettings:
        """Read FLEETBEAT_S3_BUCKET (required), _ENDPOINT, _ACCESS_KEY, _SECRET_KEY, _REGION, _PREFIX and _CA_FILE."""
        bucket = env.get("FLEETBEAT_S3_BUCKET")
        if not bucket:
            raise InvalidSpec("FLEETBEAT_S3_BUCKET is not set: name the bucket for artifacts")
        prefix = env.get("FLEETBEAT_S3_PREFIX", "").strip("/")
        return cls(
            bucket=bucket,
            endpoint=env.get("FLEETBEAT_S3_ENDPOINT") or None,
            access_key=env.get("FLEETBEAT_S3_ACCESS_KEY") or None,
            secret_key=env.get("FLEETBEAT_S3_SECRET_KEY") or None,
            region=env.get("FLEETBEAT_S3_REGION") or "us-east-1",
            prefix=f"{prefix}/" if prefix else "",
            ca_file=env.get("FLEETBEAT_S3_CA_FILE") or None,
        )


@dataclass(frozen=True)
class CacheSettings:
    """Where a worker keeps what it can fetch again: artifacts by digest and Git mirrors."""

    root: Path
    artifact_bytes: int = 2 * GIB
    git_bytes: int = 8 * GIB

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> CacheSettings:
        """Read FLEETBEAT_CACHE_DIR (default: a folder in the temporary directory) and the limits in bytes."""
        root = env.get("FLEETBEAT_CACHE_DIR") or str(Path(tempfile.gettempdir()) / f"fleetbeat-{os.getuid()}")
        return cls(
            root=Path(root),
            artifact_bytes=int(env.get("FLEETBEAT_CACHE_ARTIFACT_BYTES") or cls.artifact_bytes),
            git_bytes=int(env.get("FLEETBEAT_CACHE_GIT_BYTES") or cls.git_bytes),
        )
