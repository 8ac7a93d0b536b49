"""What a listing makes: the revision, and what cannot become an archive."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from fleetbeat.artifacts.archive import Limits
from fleetbeat.errors import ArchiveInvalid
from fleetbeat.sources.bucket import Bucket
from fleetbeat.sources.bucket.index import Index, Item

pytestmark = pytest.mark.unit


def test_the_form_of_the_revision_is_flux_s() -> None:
    """Byte order of keys, one space, a line feed after each; an empty bucket has the digest of nothing."""
    items = (Item("a b", "1", 0), Item("é", "2", 0), Item("😀", "3-4", 0))
    assert Index(items).revision == "sha256:" + hashlib.sha256("a b 1\né 2\n😀 3-4\n".encode()).hexdigest()
    assert Index(()).revision == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("items", "limits", "message"),
    [
        ([("../x", 1)], {}, "not safe"),
        ([("/etc/x", 1)], {}, "not safe"),
        ([("a//x", 1)], {}, "not safe"),
        ([("a/./x", 1)], {}, "not safe"),
        ([("a\nb 1", 1)], {}, "not safe"),
        ([("a", 1), ("a/x", 1)], {}, "beginning of another"),
        ([("big", 11)], {"file_bytes": 10}, "more than the 10"),
        ([("a", 6), ("b", 6)], {"total_bytes": 10}, "add up"),
        ([("d/a", 1), ("d/b", 1)], {"entries": 2}, "more than 2"),
    ],
)
def test_what_cannot_be_an_archive_is_refused_by_name(
    items: list[tuple[str, int]], limits: dict[str, int], message: str
) -> None:
    """From the listing alone, before anything is downloaded."""
    index = Index(tuple(Item(key, "etag", size) for key, size in items))
    with pytest.raises(ArchiveInvalid, match=message):
        index.check(replace(Limits(), **limits))


@pytest.mark.parametrize(
    ("endpoint", "region", "area"),
    [
        ("minio.example.com:9000", "", "us-east-1"),
        ("s3.eu-west-3.amazonaws.com", "", "eu-west-3"),
        ("s3.dualstack.us-gov-west-1.amazonaws.com", "", "us-gov-west-1"),
        ("s3.amazonaws.com", "eu-central-1", "eu-central-1"),
    ],
)
def test_the_region_follows_from_the_endpoint(endpoint: str, region: str, area: str) -> None:
    """Where the spec does not say it."""
    assert Bucket(endpoint, "b", region=region).area == area
