"""Which objects of a bucket belong into the artifact, and the revision that they make.

Owns the listing, the ignore rules of buckets (the bucket's own `.sourceignore`, then spec.ignore, and no defaults) and
Flux's form of a revision: the sha256 of one line `key etag` for each object, sorted by key. What a key may look like is
checked here as well, because the names come from outside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetbeat.artifacts.archive import Limits
from fleetbeat.errors import ArchiveInvalid, BucketFailed
from fleetbeat.sources import ignore
from fleetbeat.sources.bucket.client import Bucket, code_of, translated
from fleetbeat.sources.deadline import Deadline

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

MAX_KEYS = 1_000_000
"""Objects that a listing may name, excluded ones included."""
_IGNORE_FILE_BYTES = 1024 * 1024
_PATTERNS = 5000


@dataclass(frozen=True, slots=True)
class Item:
    """One object as listed."""

    key: str
    etag: str
    """Without quotes."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Index:
    """What is to be in the artifact, sorted by key."""

    items: tuple[Item, ...]

    @property
    def revision(self) -> str:
        """`sha256:<hex>`."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(f"{item.key} {item.etag}\n".encode())
        return f"sha256:{digest.hexdigest()}"

    @property
    def folders(self) -> list[str]:
        """Every directory above an object."""
        found: set[str] = set()
        for item in self.items:
            path = item.key.rpartition("/")[0]
            while path and path not in found:
                found.add(path)
                path = path.rpartition("/")[0]
        return sorted(found)

    def check(self, limits: Limits) -> None:
        """Raises ArchiveInvalid when the objects cannot make an archive; nothing has been downloaded yet."""
        folders = set(self.folders)
        if len(self.items) + len(folders) > limits.entries:
            raise ArchiveInvalid(f"more than {limits.entries} objects; exclude some by spec.ignore, or set spec.prefix")
        if sum(item.size for item in self.items) > limits.total_bytes:
            raise ArchiveInvalid(f"the objects add up to more than {limits.total_bytes} bytes; exclude some")
        for item in self.items:
            _check(item, folders, limits)


def read_index(client: S3Client, bucket: Bucket, prefix: str, custom: str | None, deadline: Deadline) -> Index:
    """List the bucket and choose; `custom` is spec.ignore. Directory markers (keys that end in `/`) are no objects."""
    listed = {item.key: item for item in _list(client, bucket, prefix, deadline)}
    has_file = ignore.FILE_NAME in listed or not ignore.FILE_NAME.startswith(prefix)
    own = _ignore_file(client, bucket, deadline) if has_file else ""
    patterns = [*ignore.parse(own), *ignore.parse(custom or "")]
    if len(patterns) > _PATTERNS:
        raise ArchiveInvalid(f"the bucket has more than {_PATTERNS} patterns to ignore objects")
    rules = ignore.Rules(patterns)
    chosen = (item for key, item in listed.items() if key != ignore.FILE_NAME and not rules.excludes(key))
    return Index(_sorted(chosen))


def _sorted(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(sorted(items, key=lambda item: item.key))


def _list(client: S3Client, bucket: Bucket, prefix: str, deadline: Deadline) -> Iterator[Item]:
    count = 0
    with translated(bucket, "listing"):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=prefix):
            deadline.left()
            for entry in page.get("Contents", ()):
                count += 1
                if not entry["Key"].endswith("/"):
                    yield Item(entry["Key"], entry["ETag"].strip('"'), entry["Size"])
            if count > MAX_KEYS:
                raise BucketFailed(f"the bucket has more than {MAX_KEYS} objects; set spec.prefix")


def _ignore_file(client: S3Client, bucket: Bucket, deadline: Deadline) -> str:
    """The bucket's own rules; they are at its root, whatever spec.prefix says."""
    from botocore.exceptions import ClientError

    deadline.left()
    with translated(bucket, f"reading {ignore.FILE_NAME}"):
        try:
            body = client.get_object(Bucket=bucket.name, Key=ignore.FILE_NAME)["Body"]
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return ""
            raise
        try:
            data = body.read(_IGNORE_FILE_BYTES + 1)
        finally:
            body.close()
    if len(data) > _IGNORE_FILE_BYTES:
        raise ArchiveInvalid(f"{ignore.FILE_NAME} is larger than {_IGNORE_FILE_BYTES} bytes")
    return data.decode("utf-8", "surrogateescape")


def _check(item: Item, folders: set[str], limits: Limits) -> None:
    key = item.key
    if not _safe(key.split("/")):
        raise ArchiveInvalid(f"the key {key[:200]!r} is not safe as a path; rename the object or exclude it")
    if key in folders:
        raise ArchiveInvalid(f"{key!r} is an object and the beginning of another one's key; exclude one of them")
    if item.size > limits.file_bytes:
        raise ArchiveInvalid(f"{key!r} has {item.size} bytes, more than the {limits.file_bytes} allowed; exclude it")


def _safe(parts: Sequence[str]) -> bool:
    """No way up or to the root, and nothing that could pass for two lines of the index."""
    return all(part not in ("", ".", "..") and part.isprintable() for part in parts)
