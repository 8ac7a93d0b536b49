"""Artifacts in S3: immutable objects, keyed by the source's uid and the content's digest.

Owns the layout `<prefix><kind>/<namespace>/<name>/<uid>/<sha256 hex>/<file name>` and the retention. Only the run of a
source may `put` and `collect` below that source's own folder; everybody else reads. A key is never rewritten with
other content, so whoever holds key and digest may keep them for as long as retention or a name in `keep` protects them.
Deciding *what* is still named (the current artifact, ledgers, rollouts) is the caller's business.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from fleetbeat.artifacts.cache import DigestCache, digest_hex
from fleetbeat.artifacts.settings import StoreSettings
from fleetbeat.errors import ArtifactFailed, StorageFailed

if TYPE_CHECKING:
    from botocore.session import Session
    from types_boto3_s3.client import S3Client


YOUNG_SECONDS = 60.0
"""Nothing younger is collected: a consumer may have been told of it a moment ago."""
NEWEST_KEPT = 2
LATEST = ("latest.tar.gz", "latest.tgz", "index.yaml")
"""File names of stable links (`status.url`)."""
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Source:
    """Whose artifacts: the kind in lower case, as it stands in Flux's paths."""

    kind: str
    namespace: str
    name: str
    uid: str

    @property
    def path(self) -> str:
        """`gitrepository/<namespace>/<name>`: the public folder, without the uid."""
        return f"{self.kind.lower()}/{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Stored:
    """An object of the store; `size` in bytes."""

    key: str
    size: int
    modified: datetime

    @property
    def digest(self) -> str:
        return f"sha256:{self.key.rsplit('/', 2)[1]}"

    @property
    def filename(self) -> str:
        return self.key.rsplit("/", 1)[1]


class ArtifactStore:
    """The S3 side of artifacts; thread-safe. Make one per process, after any fork."""

    def __init__(self, settings: StoreSettings, cache: DigestCache | None = None) -> None:
        self.settings = settings
        self._cache = cache
        self._connecting = threading.Lock()

    def key(self, source: Source, filename: str, digest: str) -> str:
        """Where an artifact of that content lies; pure."""
        return f"{self._folder(source)}{digest_hex(digest)}/{filename}"

    def put(self, source: Source, filename: str, file: BinaryIO, digest: str, size: int) -> str:
        """Store `file` (seekable) unless its key is there with that size; returns the key. Raises StorageFailed.

        An object that is there is found out by the refusal to write it again, because nearly all artifacts are new.
        """
        key = self.key(source, filename, digest)
        with _translated(f"storing {key}"):
            if not self._upload(key, file, size, replace=False):
                found = self._head(key)
                if found is None or found.size != size:
                    self._upload(key, file, size, replace=True)
        return key

    def exists(self, key: str, size: int | None = None) -> bool:
        """Whether the object is there (and of that size): the self-check of an unchanged source, one HEAD."""
        with _translated(f"looking for {key}"):
            found = self._head(key)
        return found is not None and size in (None, found.size)

    def get(self, key: str, digest: str) -> Path:
        """The artifact as a verified local file. ArtifactFailed: gone or damaged; StorageFailed: no answer."""
        if self._cache is None:
            raise StorageFailed("this process has no artifact cache; set FLEETBEAT_CACHE_DIR")
        return self._cache.fetch(digest, lambda file: self.download(key, file))

    def download(self, key: str, file: BinaryIO) -> None:
        """Copy an object's bytes to `file`, unverified."""
        with _translated(f"reading {key}"):
            for chunk in self.stream(key):
                file.write(chunk)

    def stream(self, key: str) -> Iterator[bytes]:
        """An object's bytes in chunks; the connection is given back at the end."""
        with _translated(f"reading {key}"):
            body = self._s3.get_object(Bucket=self.settings.bucket, Key=key)["Body"]
            try:
                yield from body.iter_chunks(_CHUNK)
            finally:
                body.close()

    def presign(self, key: str, seconds: int = 60) -> str:
        """A URL that anybody may GET for `seconds`; made without asking the server."""
        with _translated(f"signing a URL for {key}"):
            return self._s3.generate_presigned_url(
                "get_object", Params={"Bucket": self.settings.bucket, "Key": key}, ExpiresIn=seconds
            )

    def records(self, source: Source) -> list[Stored]:
        """Every artifact of that source, the newest first."""
        return self._list(self._folder(source))

    def find(self, path: str) -> Stored | None:
        """The newest object behind a public path `<kind>/<namespace>/<name>/<file>`, whatever its uid and digest.

        A file of `LATEST` means the newest of all.
        """
        folder, _, filename = path.rpartition("/")
        if folder.count("/") != 2 or not all(folder.split("/")):
            return None
        found = self._list(f"{self.settings.prefix}{folder}/")
        return next((stored for stored in found if filename in LATEST or stored.filename == filename), None)

    def collect(self, source: Source, keep: Collection[str] = (), *, now: datetime | None = None) -> list[str]:
        """Delete what retention no longer protects; returns the deleted keys.

        Kept are the keys in `keep` (the current artifact and whatever a ledger or rollout names), the two newest, and
        everything younger than a minute. Never call it while Redis is rebuilding: then `keep` is not known in full.
        """
        now = now or datetime.now(UTC)
        doomed = [
            stored.key
            for stored in self.records(source)[NEWEST_KEPT:]
            if stored.key not in keep and (now - stored.modified).total_seconds() >= YOUNG_SECONDS
        ]
        self._delete(doomed)
        return doomed

    def delete_all(self, source: Source) -> list[str]:
        """Delete every artifact of that uid: the source itself was deleted."""
        doomed = [stored.key for stored in self.records(source)]
        self._delete(doomed)
        return doomed

    def ensure_bucket(self) -> None:
        """Make the bucket if it is missing; for embedded and demo stores."""
        from botocore.exceptions import ClientError

        with _translated(f"creating the bucket {self.settings.bucket}"):
            try:
                self._s3.create_bucket(Bucket=self.settings.bucket)
            except ClientError as error:
                if _code(error) not in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou"):
                    raise

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    def _folder(self, source: Source) -> str:
        return f"{self.settings.prefix}{source.path}/{source.uid}/"

    def _head(self, key: str) -> Stored | None:
        from botocore.exceptions import ClientError

        try:
            head = self._s3.head_object(Bucket=self.settings.bucket, Key=key)
        except ClientError as error:
            if _code(error) in ("404", "NoSuchKey", "NotFound"):
                return None
            raise
        return Stored(key, head["ContentLength"], head["LastModified"])

    def _upload(self, key: str, file: BinaryIO, size: int, *, replace: bool) -> bool:
        """Write an object; False when there is one and it was not to be replaced."""
        from botocore.exceptions import ClientError

        file.seek(0)
        put = partial(
            self._s3.put_object,
            Bucket=self.settings.bucket,
            Key=key,
            Body=file,
            ContentLength=size,
            ContentType="application/gzip",
        )
        try:
            put() if replace else put(IfNoneMatch="*")
        except ClientError as error:
            if replace or _code(error) not in ("PreconditionFailed", "412"):
                raise
            return False
        return True

    def _list(self, prefix: str) -> list[Stored]:
        with _translated(f"listing {prefix}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.settings.bucket, Prefix=prefix)
            found = [
                Stored(item["Key"], item["Size"], item["LastModified"])
                for page in pages
                for item in page.get("Contents", ())
            ]
        return sorted(found, key=lambda stored: (stored.modified, stored.key), reverse=True)

    def _delete(self, keys: list[str]) -> None:
        with _translated("deleting old artifacts"):
            for key in keys:
                self._s3.delete_object(Bucket=self.settings.bucket, Key=key)

    @property
    def _s3(self) -> S3Client:
        with self._connecting:
            return self._client

    @cached_property
    def _client(self) -> S3Client:
        return _connect(self.settings)


def preload() -> None:
    """Load what every client needs before its first use, or before a fork: S3's model takes 0.1 s and 12 MB, which
    children then share."""
    nobody = dict.fromkeys(("access_key", "secret_key"), "none")  # or AWS would be asked for an account
    _connect(StoreSettings("none", "http://127.0.0.1:1", **nobody)).close()


@cache
def session() -> Session:
    """Models and defaults that all clients of this process share."""
    from botocore.session import get_session

    return get_session()


def _connect(settings: StoreSettings) -> S3Client:
    """A client that has not connected yet."""
    from botocore.config import Config

    client = session().create_client(
        "s3",
        endpoint_url=settings.endpoint,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        region_name=settings.region,
        verify=settings.ca_file,
        config=Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"total_max_attempts": 3, "mode": "standard"},
            max_pool_connections=16,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # The signature covers the body's sha256, so the server itself refuses damaged uploads.
            s3={"addressing_style": "path" if settings.endpoint else "auto", "payload_signing_enabled": True},
        ),
    )
    return cast("S3Client", client)


def _code(error: Exception) -> str:
    """The S3 error code of a botocore ClientError."""
    response = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


@contextmanager
def _translated(action: str) -> Iterator[None]:
    """botocore's errors as ours; their texts name endpoint and bucket, never a key or secret."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        if _code(error) in ("NoSuchKey", "404"):
            raise ArtifactFailed(f"{action}: the artifact is not in the store (any more)") from error
        raise StorageFailed(f"{action}: {error}") from error
    except (BotoCoreError, HTTPError) as error:
        raise StorageFailed(f"{action}: {error}") from error
