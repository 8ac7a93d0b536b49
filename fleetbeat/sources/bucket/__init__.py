"""Bucket: from a spec to a revision and, where it moved, to an archive of the bucket's objects.

`fetch` is the whole of it. A look that finds nothing new costs the listing alone. Only servers that speak S3 are read;
clouds with an interface of their own are refused by the pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fleetbeat.artifacts.archive import Archive, Limits
from fleetbeat.errors import BucketFailed
from fleetbeat.sources.bucket.access import Access
from fleetbeat.sources.bucket.client import Bucket, connected, role_keys
from fleetbeat.sources.bucket.download import Download, Moved
from fleetbeat.sources.bucket.index import read_index
from fleetbeat.sources.deadline import Deadline

__all__ = ["Access", "Bucket", "BucketResult", "fetch", "role_keys"]

LOOKS = 3
"""How often the bucket is listed anew when it changes while it is read."""


@dataclass(frozen=True)
class BucketResult:
    """What a look found. `archive` is None when the observed revision is still the bucket's."""

    revision: str
    """`sha256:<hex>` over keys and ETags."""
    files: int
    archive: Archive | None = None
    """To be closed by the caller."""


def fetch(
    bucket: Bucket,
    access: Access,
    *,
    prefix: str = "",
    ignore: str | None = None,
    observed: str | None,
    scratch: Path,
    deadline: Deadline,
    limits: Limits | None = None,
) -> BucketResult:
    """List the bucket and, unless it is as `observed` (a revision), download what belongs into the artifact.

    Raises AuthenticationFailed, BucketFailed, ArchiveInvalid, InvalidURL or InvalidSTS.
    """
    limits = limits or Limits()
    with connected(bucket, access, deadline.left()) as client:
        for _ in range(LOOKS):
            index = read_index(client, bucket, prefix, ignore, deadline)
            if index.revision == observed:
                return BucketResult(index.revision, len(index.items))
            index.check(limits)
            try:
                archive = Download(client, bucket, deadline, limits, scratch).archive(index)
            except Moved:
                continue
            return BucketResult(index.revision, len(index.items), archive)
    raise BucketFailed(f"bucket {bucket.name!r} at {bucket.endpoint} changed {LOOKS} times while it was read")
