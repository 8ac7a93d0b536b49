"""From listed objects to an archive: read side by side, each checked against what the listing said of it.

All objects go into one anonymous file, each at its own place, because the listing tells their sizes. So no key ever
becomes a path on this disk, and nothing is left behind, however the process ends.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from fleetbeat.artifacts.archive import Archive, Entry, Limits, write_archive
from fleetbeat.errors import BucketFailed
from fleetbeat.sources.bucket.client import PARALLEL, Bucket, code_of, translated
from fleetbeat.sources.bucket.index import Index, Item
from fleetbeat.sources.deadline import Deadline

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_CHUNK = 1024 * 1024
_MD5 = re.compile(r"[0-9a-f]{32}")
_KEYED = ("aws:kms", "aws:kms:dsse")
"""Encryptions whose ETags are no digests of the content."""


class Moved(Exception):
    """An object is not what the listing said: it was replaced or deleted in between."""


@dataclass(frozen=True)
class Download:
    """One run's look at the objects of an index."""

    client: S3Client
    bucket: Bucket
    deadline: Deadline
    limits: Limits
    scratch: Path
    """Where the anonymous files are."""
    stop: Event = field(default_factory=Event)

    def archive(self, index: Index) -> Archive:
        """The archive of all objects of `index`, which was checked; raises Moved when the bucket changed meanwhile."""
        with tempfile.TemporaryFile(dir=self.scratch) as spool:
            places = _places(index)
            self._read_all(index, places, spool.fileno())
            out = tempfile.TemporaryFile(dir=self.scratch)  # noqa: SIM115 - belongs to the archive
            try:
                return write_archive(_entries(index, places, spool.fileno()), out, self.limits)
            except BaseException:
                out.close()
                raise

    def _read_all(self, index: Index, places: dict[str, int], spool: int) -> None:
        with ThreadPoolExecutor(PARALLEL, "bucket") as pool:
            reading: list[Future[None]] = [
                pool.submit(self._read, item, spool, places[item.key]) for item in index.items
            ]
            try:
                for done in as_completed(reading):
                    done.result()
            except BaseException:
                self.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _read(self, item: Item, spool: int, place: int) -> None:
        """One object; bytes that do not have the listed digest are read again before they count as anything.

        Servers that encrypt have ETags of the same form that are no digests: two equal reads settle it.
        """
        with translated(self.bucket, f"reading {item.key[:200]!r}"):
            first = self._copy(item, spool, place)
            if first in ("", item.etag):
                return
            if self._copy(item, spool, place) != first:
                raise BucketFailed(f"{item.key[:200]!r} arrives damaged: its bytes are others at each read")

    def _copy(self, item: Item, spool: int, place: int) -> str:
        """Returns the content's MD5, or "" where the ETag is not to be compared with it."""
        from botocore.exceptions import ClientError

        self._go_on()
        try:
            answer = self.client.get_object(Bucket=self.bucket.name, Key=item.key, IfMatch=f'"{item.etag}"')
        except ClientError as error:
            if code_of(error) in ("PreconditionFailed", "412", "NoSuchKey"):
                raise Moved from error
            raise
        body = answer["Body"]
        try:
            if answer["ETag"].strip('"') != item.etag or answer["ContentLength"] != item.size:
                raise Moved
            digest = self._spool(body.iter_chunks(_CHUNK), item.size, spool, place)
        finally:
            body.close()
        keyed = answer.get("ServerSideEncryption") in _KEYED or answer.get("SSECustomerAlgorithm")
        return "" if keyed or not _MD5.fullmatch(item.etag) else digest

    def _spool(self, chunks: Iterator[bytes], size: int, spool: int, place: int) -> str:
        md5, position = hashlib.md5(usedforsecurity=False), 0
        for chunk in chunks:
            self._go_on()
            md5.update(chunk)
            if position + len(chunk) > size:
                raise Moved
            os.pwrite(spool, chunk, place + position)
            position += len(chunk)
        if position != size:
            raise Moved
        return md5.hexdigest()

    def _go_on(self) -> None:
        self.deadline.left()
        if self.stop.is_set():
            raise Moved


def _places(index: Index) -> dict[str, int]:
    """Where each object begins in the spool."""
    places, position = {}, 0
    for item in index.items:
        places[item.key] = position
        position += item.size
    return places


def _entries(index: Index, places: dict[str, int], spool: int) -> list[Entry]:
    files = [Entry(item.key, partial(_content, spool, item.size, places[item.key])) for item in index.items]
    return sorted([*files, *map(Entry, index.folders)], key=lambda entry: entry.path)


def _content(spool: int, size: int, place: int) -> bytes:
    parts, position = [], 0
    while position < size:
        part = os.pread(spool, size - position, place + position)
        if not part:
            raise BucketFailed("the worker's disk lost what was downloaded")
        parts.append(part)
        position += len(part)
    return b"".join(parts)
