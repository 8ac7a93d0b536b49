"""From a bucket of a real S3 server to a revision and an archive."""

from __future__ import annotations

import hashlib
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore import auth

from fleetbeat.errors import (
    ArchiveInvalid,
    AuthenticationFailed,
    BucketFailed,
    FleetbeatError,
    InvalidSpec,
    InvalidSTS,
    InvalidURL,
)
from fleetbeat.sources import bucket as module
from fleetbeat.sources.bucket import Access, Bucket, BucketResult, fetch
from fleetbeat.sources.bucket.access import Keys
from fleetbeat.sources.bucket.index import Index
from fleetbeat.sources.credentials import Proxy
from fleetbeat.sources.deadline import Deadline
from workers.embedded import ports
from workers.embedded.s3 import EmbeddedS3

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.unit


class Place:
    """A bucket of its own, filled by the test."""

    def __init__(self, s3: EmbeddedS3, client: S3Client, scratch: Path) -> None:
        self.client, self.scratch = client, scratch
        self.archives = ExitStack()
        self.name = f"bucket-{uuid.uuid4().hex[:8]}"
        client.create_bucket(Bucket=self.name)
        self.bucket = Bucket(s3.endpoint.removeprefix("http://"), self.name, insecure=True)
        self.access = Access(keys=Keys(s3.access_key, s3.secret_key))

    def put(self, **files: str) -> None:
        """Write objects; `__` in a name stands for a slash, `_dot_` for a dot."""
        for name, text in files.items():
            self.write(name.replace("__", "/").replace("_dot_", "."), text)

    def write(self, key: str, text: str) -> None:
        """Write one object."""
        self.client.put_object(Bucket=self.name, Key=key, Body=text.encode())

    def etag(self, key: str) -> str:
        """As the server tells it, without quotes."""
        return self.client.head_object(Bucket=self.name, Key=key)["ETag"].strip('"')

    def fetch(self, observed: str | None = None, seconds: float = 60.0, **options: Any) -> BucketResult:
        """One look."""
        bucket, access = options.pop("bucket", self.bucket), options.pop("access", self.access)
        deadline = Deadline.after(seconds, BucketFailed)
        found = fetch(bucket, access, observed=observed, scratch=self.scratch, deadline=deadline, **options)
        if found.archive is not None:
            self.archives.callback(found.archive.close)
        return found

    def files(self, **options: Any) -> dict[str, str]:
        """path → content of what a look brings; directories end in a slash."""
        return unpack(self.fetch(**options))


def unpack(found: BucketResult) -> dict[str, str]:
    """What is in the archive."""
    assert found.archive is not None
    contents: dict[str, str] = {}
    with tarfile.open(fileobj=found.archive.file) as tar:
        for member in tar:
            file = tar.extractfile(member)
            contents[member.name if file else f"{member.name}/"] = file.read().decode() if file else ""
    return contents


@pytest.fixture(scope="module")
def client(s3: EmbeddedS3) -> Iterator[S3Client]:
    """The administrator of the server."""
    opened = s3.client()
    yield opened
    opened.close()


@pytest.fixture
def place(s3: EmbeddedS3, client: S3Client, tmp_path: Path) -> Iterator[Place]:
    """An empty bucket."""
    made = Place(s3, client, tmp_path)
    with made.archives:
        yield made


def test_objects_become_files_and_keys_and_etags_the_revision(place: Place) -> None:
    """The revision is the sha256 of one line `key etag` for each object in the order of the keys."""
    place.put(b_dot_yaml="two", a__x_dot_yaml="one", a__empty="")
    lines = "".join(f"{key} {place.etag(key)}\n" for key in ("a/empty", "a/x.yaml", "b.yaml"))
    found = place.fetch()
    assert found.revision == "sha256:" + hashlib.sha256(lines.encode()).hexdigest()
    assert found.files == 3
    assert unpack(found) == {"a/": "", "a/x.yaml": "one", "a/empty": "", "b.yaml": "two"}
    assert list(place.scratch.iterdir()) == []


def test_an_unchanged_bucket_is_only_listed(place: Place) -> None:
    """Nothing is downloaded again, also when the ignore rules change without excluding another object."""
    place.put(a_dot_yaml="one")
    first = place.fetch()
    assert place.fetch(first.revision).archive is None
    assert place.fetch(first.revision, ignore="*.md").archive is None
    place.put(a_dot_yaml="two")
    again = place.fetch(first.revision)
    assert again.revision != first.revision
    assert unpack(again) == {"a.yaml": "two"}


def test_ignore_rules_of_the_bucket_then_of_the_spec(place: Place) -> None:
    """`.sourceignore` at the root, spec.ignore after it, no default exclusions; the file itself stays out."""
    place.write(".sourceignore", "*.md\n/docs\n")
    place.put(keep_dot_yaml="1", logo_dot_png="2", README_dot_md="3", docs__a_dot_yaml="4", _dot_gitignore="5")
    assert place.files().keys() == {".gitignore", "keep.yaml", "logo.png"}
    assert place.files(ignore="!README.md\n*.png").keys() == {".gitignore", "keep.yaml", "README.md"}


def test_a_prefix_narrows_the_listing_and_not_the_ignore_file(place: Place) -> None:
    """Keys stay whole, and the rules at the bucket's root hold."""
    place.write(".sourceignore", "secret.yaml\n")
    place.put(apps__a_dot_yaml="1", apps__secret_dot_yaml="2", infra__b_dot_yaml="3")
    assert place.files(prefix="apps/").keys() == {"apps/", "apps/a.yaml"}


def test_directory_markers_are_no_objects(place: Place) -> None:
    """A key that ends in a slash is what graphical tools leave."""
    place.put(a__b__x="1")
    before = place.fetch().revision
    place.write("a/", "")
    place.write("other/", "")
    assert place.fetch(before).archive is None


def test_many_objects_are_listed_page_by_page(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing goes on until the server has told all, and not beyond the limit."""
    for number in range(1005):
        place.write(f"d{number % 7}/{number}.yaml", str(number))
    assert len(place.files()) == 1005 + 7
    monkeypatch.setattr("fleetbeat.sources.bucket.index.MAX_KEYS", 1000)
    with pytest.raises(BucketFailed, match="prefix"):
        place.fetch()


def test_an_unsafe_key_may_be_excluded(place: Place) -> None:
    """What is ignored is not judged."""
    place.put(a__b="1")
    place.write("a", "is a file and a directory")
    with pytest.raises(ArchiveInvalid, match="beginning of another"):
        place.fetch()
    assert place.files(ignore="/a\n!/a/b").keys() == {"a/", "a/b"}


def test_an_object_that_is_replaced_meanwhile_is_taken_as_it_is_then(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between listing and download one is replaced and one deleted: the run lists again."""
    place.put(a="old", b="gone")
    after_listing(monkeypatch, lambda look: look == 0 and (place.put(a="new"), delete(place, "b")))
    found = place.fetch()
    assert unpack(found) == {"a": "new"}
    monkeypatch.undo()
    assert place.fetch(found.revision).archive is None


def test_a_bucket_that_never_rests_fails_the_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few looks, and without an artifact."""
    place.put(a="0")
    after_listing(monkeypatch, lambda look: place.put(a=str(look + 1)))
    with pytest.raises(BucketFailed, match="changed 3 times"):
        place.fetch()


def test_damaged_bytes_are_noticed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content that does not fit the ETag is read again: the same twice is the server's way, else it is damage."""
    place.put(a="content")
    digests = iter(["1" * 32, "2" * 32, "3" * 32, "3" * 32])
    monkeypatch.setattr(
        "fleetbeat.sources.bucket.download.hashlib.md5",
        lambda **_: type("Fake", (), {"update": lambda *_: None, "hexdigest": lambda _: next(digests)})(),
    )
    with pytest.raises(BucketFailed, match="damaged"):
        place.fetch()
    assert place.files() == {"a": "content"}


def test_nobody_without_keys_reads_a_private_bucket(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when the worker itself has keys in its environment, unless the spec says so."""
    place.put(a="1")
    keys = place.access.keys
    assert keys is not None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
    with pytest.raises(AuthenticationFailed):
        place.fetch(access=Access())
    assert place.files(access=Access(ambient=True)) == {"a": "1"}


@pytest.mark.parametrize("keys", [("nobody", "x"), (None, "wrong")])
def test_wrong_keys_are_an_authentication_failure_without_them_in_it(
    place: Place, keys: tuple[str | None, str]
) -> None:
    """The message names bucket and server."""
    right = place.access.keys
    assert right is not None
    wrong = Keys(keys[0] or right.access_key, f"{keys[1]}-very-hidden")
    with pytest.raises(AuthenticationFailed) as caught:
        place.fetch(access=Access(keys=wrong))
    assert place.name in caught.value.message
    assert "very-hidden" not in repr(caught.value) + repr(wrong)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"name": "no-such-bucket"}, BucketFailed, "does not exist"),
        ({"endpoint": "http://127.0.0.1"}, InvalidURL, "without scheme"),
        ({"endpoint": "127.0.0.1/path"}, InvalidURL, "without scheme"),
        ({"insecure": False}, BucketFailed, "does not speak TLS; spec.insecure: true allows plain HTTP"),
        ({"endpoint": "127.0.0.1:closed"}, BucketFailed, "does not take connections"),
    ],
)
def test_what_is_wrong_with_the_server_is_said(
    place: Place, change: dict[str, Any], kind: type[FleetbeatError], message: str
) -> None:
    """Each with a reason of its own."""
    if change.get("endpoint", "").endswith(":closed"):
        change = {"endpoint": f"127.0.0.1:{ports.reserve()}"}
    with pytest.raises(kind, match=message):
        place.fetch(bucket=replace(place.bucket, **change))


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_is_wrong_is_told(place: Place, hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as a wrong account: nobody need look for a mistake in a Secret."""
    shifted = datetime.now(UTC) + timedelta(hours=hours)
    monkeypatch.setattr(auth, "get_current_datetime", lambda remove_tzinfo=True: shifted.replace(tzinfo=None))
    with pytest.raises(BucketFailed, match="the clocks of worker and server differ"):
        place.fetch()


def test_a_run_ends_with_its_timeout(place: Place) -> None:
    """Not within spec.timeout is a failure of the bucket."""
    place.put(a="1")
    late = Deadline(0.0, 1.0, BucketFailed)
    with pytest.raises(BucketFailed, match=r"spec\.timeout"):
        fetch(place.bucket, place.access, observed=None, scratch=place.scratch, deadline=late)


def test_a_socks_proxy_is_refused(place: Place) -> None:
    """Rather than passed by."""
    with pytest.raises(InvalidSpec, match="SOCKS"):
        place.fetch(access=replace(place.access, proxy=Proxy("socks5://127.0.0.1:1")))


def test_temporary_keys_need_a_web_identity(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one nothing else is tried instead."""
    monkeypatch.delenv("AWS_ROLE_ARN", raising=False)
    with pytest.raises(InvalidSTS, match="web identity"):
        place.fetch(access=Access(ambient=True, sts="http://127.0.0.1:1"))


def after_listing(monkeypatch: pytest.MonkeyPatch, then: Any) -> None:
    """Call `then(number of the look)` after each listing."""
    real, looks = module.read_index, iter(range(100))

    def listing(*args: Any) -> Index:
        index: Index = real(*args)
        then(next(looks))
        return index

    monkeypatch.setattr(module, "read_index", listing)


def delete(place: Place, key: str) -> None:
    """Remove one object."""
    place.client.delete_object(Bucket=place.name, Key=key)
