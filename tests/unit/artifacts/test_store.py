"""The S3 store against a real server: idempotent writes, verified reads, retention."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleetbeat.artifacts import ArtifactStore, CacheSettings, DigestCache, Source, StoreSettings
from fleetbeat.errors import ArtifactFailed, InvalidSpec, StorageFailed
from workers.embedded import ports
from workers.embedded.s3 import EmbeddedS3

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def settings(s3: EmbeddedS3) -> StoreSettings:
    return StoreSettings(
        bucket=s3.bucket,
        endpoint=s3.endpoint,
        access_key=s3.access_key,
        secret_key=s3.secret_key,
        region=s3.region,
        prefix="fleet/",
    )


@pytest.fixture(scope="module")
def connected(settings: StoreSettings) -> Iterator[ArtifactStore]:
    store = ArtifactStore(settings)
    yield store
    store.close()


@pytest.fixture
def store(connected: ArtifactStore, tmp_path: Path) -> ArtifactStore:
    """The shared connection with an empty cache."""
    connected._cache = DigestCache(tmp_path, 10_000_000)
    return connected


@pytest.fixture
def source() -> Source:
    """A source that nobody had before."""
    return Source("GitRepository", f"apps-{uuid.uuid4().hex}", "podinfo", "uid-1")


def put(store: ArtifactStore, data: bytes, source: Source, name: str = "c.tar.gz") -> str:
    return store.put(source, name, io.BytesIO(data), digest(data), len(data))


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def later(seconds: float = 3600) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_what_was_put_is_read_back(store: ArtifactStore, source: Source) -> None:
    """An artifact comes back by key and digest, as a file."""
    key = put(store, b"content", source)
    assert key == (f"fleet/{source.path}/uid-1/{digest(b'content')[7:]}/c.tar.gz")
    assert store.get(key, digest(b"content")).read_bytes() == b"content"
    assert store.exists(key, 7) and not store.exists(key, 8)
    assert b"".join(store.stream(key)) == b"content"


def test_put_twice_writes_once(store: ArtifactStore, source: Source) -> None:
    """A repeated run finds its object and leaves it alone."""
    put(store, b"content", source)
    before = store.records(source)
    put(store, b"content", source)
    assert store.records(source) == before


def test_a_lost_race_is_no_error(store: ArtifactStore, source: Source) -> None:
    """If-None-Match: another writer of the same content was faster."""
    key = put(store, b"content", source)
    store._upload(key, io.BytesIO(b"content"), 7, replace=False)
    assert store.get(key, digest(b"content")).read_bytes() == b"content"


def test_a_truncated_object_is_replaced(store: ArtifactStore, source: Source) -> None:
    """An object of the wrong size under the right key is written again."""
    key = put(store, b"content", source)
    store._upload(key, io.BytesIO(b"con"), 3, replace=True)
    put(store, b"content", source)
    assert store.get(key, digest(b"content")).read_bytes() == b"content"


def test_forged_content_is_refused(store: ArtifactStore, source: Source) -> None:
    """Whoever can write the bucket cannot make a consumer take other bytes."""
    key = put(store, b"content", source)
    store._upload(key, io.BytesIO(b"CONTENT"), 7, replace=True)
    with pytest.raises(ArtifactFailed, match="its record says"):
        store.get(key, digest(b"content"))


def test_a_missing_object_says_so(store: ArtifactStore, source: Source) -> None:
    """An artifact that was collected is a different matter from a store that does not answer."""
    with pytest.raises(ArtifactFailed, match="not in the store"):
        store.get("nowhere", digest(b"x"))
    assert not store.exists("nowhere")


def test_retention(store: ArtifactStore, source: Source) -> None:
    """Kept: the two newest, the young, and what is named; other uids are never touched."""
    other = put(store, b"other", dataclasses.replace(source, uid="uid-2"))
    keys = [put(store, b"%d" % number, source) for number in range(5)]
    assert store.collect(source) == [], "all are young"
    newest_first = [stored.key for stored in store.records(source)]
    named = newest_first[-1]
    assert sorted(store.collect(source, keep=[named], now=later())) == sorted(newest_first[2:-1])
    assert {stored.key for stored in store.records(source)} == {*newest_first[:2], named}
    assert store.exists(other)
    assert len(keys) == 5


def test_delete_all(store: ArtifactStore, source: Source) -> None:
    """A deleted source takes its artifacts along, and nobody else's, not even those of a longer name."""
    longer = put(store, b"x", dataclasses.replace(source, uid="uid-11"))
    key = put(store, b"x", source)
    assert store.delete_all(source) == [key]
    assert store.exists(longer)


def test_find_by_public_path(store: ArtifactStore, source: Source) -> None:
    """The stable URL's path leads to the newest object of that name."""
    put(store, b"old", source)
    new = put(store, b"new", dataclasses.replace(source, uid="uid-2"))
    found = store.find(f"{source.path}/c.tar.gz")
    assert found is not None
    assert found.digest in (digest(b"new"), digest(b"old"))
    assert found.filename == "c.tar.gz" and store.exists(new)
    assert store.find(f"{source.path}/other.tar.gz") is None
    assert store.find(f"gitrepository/{source.namespace}/") is None


def test_presigned_url(store: ArtifactStore, source: Source) -> None:
    """Anybody with the URL may read the object, for a while; a changed URL is refused."""
    url = store.presign(put(store, b"content", source), 30)
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.read() == b"content"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url[:-1] + ("0" if url[-1] != "0" else "1"), timeout=10)


def test_wrong_keys_and_buckets(settings: StoreSettings, source: Source) -> None:
    """Refusals are named, without a secret in the text."""
    wrong = ArtifactStore(dataclasses.replace(settings, secret_key="not-the-secret"))
    with pytest.raises(StorageFailed, match="looking for") as caught:
        wrong.exists("x")
    assert "not-the-secret" not in str(caught.value)
    missing = ArtifactStore(dataclasses.replace(settings, bucket="no-such-bucket"))
    with pytest.raises(StorageFailed, match="listing"):
        missing.records(source)
    for store in (wrong, missing):
        store.close()


def test_a_store_that_is_down(settings: StoreSettings, source: Source) -> None:
    """No answer is a retryable error, soon."""
    store = ArtifactStore(dataclasses.replace(settings, endpoint=f"http://127.0.0.1:{ports.reserve()}"))
    begin = time.monotonic()
    with pytest.raises(StorageFailed, match="storing"):
        put(store, b"x", source)
    assert time.monotonic() - begin < 20
    store.close()


def test_buckets_are_made(settings: StoreSettings, source: Source) -> None:
    """The embedded stack asks for its bucket each time it starts."""
    store = ArtifactStore(dataclasses.replace(settings, bucket=f"b-{uuid.uuid4().hex}"))
    store.ensure_bucket()
    store.ensure_bucket()
    assert store.exists(put(store, b"x", source))
    store.close()


def test_settings_from_the_environment() -> None:
    """Names and defaults; secrets do not appear in a repr."""
    env = {
        "FLEETBEAT_S3_BUCKET": "b",
        "FLEETBEAT_S3_PREFIX": "/fleet/",
        "FLEETBEAT_S3_ACCESS_KEY": "AK",
        "FLEETBEAT_S3_SECRET_KEY": "hidden",
    }
    found = StoreSettings.from_env(env)
    assert (found.bucket, found.prefix, found.region, found.endpoint) == ("b", "fleet/", "us-east-1", None)
    assert "hidden" not in repr(found) and "AK" not in repr(found)
    with pytest.raises(InvalidSpec, match="FLEETBEAT_S3_BUCKET"):
        StoreSettings.from_env({})
    assert CacheSettings.from_env({"FLEETBEAT_CACHE_DIR": "/c"}).root == Path("/c")
