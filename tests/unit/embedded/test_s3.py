"""The embedded S3: the operations that the artifact store rests on, and its life."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3
from botocore.exceptions import ClientError

from workers.embedded.s3 import EmbeddedS3

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.unit


@pytest.fixture
def client(s3: EmbeddedS3) -> Iterator[S3Client]:
    """A client of the shared server."""
    made = s3.client()
    yield made
    made.close()


def test_an_object_is_written_once(s3: EmbeddedS3, client: S3Client) -> None:
    """If-None-Match refuses a second write of one key."""
    key = uuid.uuid4().hex
    client.put_object(Bucket=s3.bucket, Key=key, Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=s3.bucket, Key=key, Body=b"second", IfNoneMatch="*")
    assert client.get_object(Bucket=s3.bucket, Key=key)["Body"].read() == b"first"


def test_a_presigned_url_needs_no_credentials(s3: EmbeddedS3, client: S3Client) -> None:
    """The URL answers by itself; the same address without a signature is forbidden."""
    client.put_object(Bucket=s3.bucket, Key="signed", Body=b"content")
    url = client.generate_presigned_url("get_object", Params={"Bucket": s3.bucket, "Key": "signed"}, ExpiresIn=60)
    assert urllib3.request("GET", url).data == b"content"
    assert urllib3.request("GET", url.split("?")[0]).status == 403


def test_buckets_are_made_once(s3: EmbeddedS3) -> None:
    """Making an existing bucket is no error."""
    s3.create_bucket("further")
    s3.create_bucket("further")


def test_data_and_credentials_outlive_a_kill(tmp_path: Path) -> None:
    """After SIGKILL and start, the same client reads what it wrote."""
    with EmbeddedS3(tmp_path) as server:
        client = server.client()
        client.put_object(Bucket=server.bucket, Key="kept", Body=b"content")
        server.kill()
        server.start()
        assert client.get_object(Bucket=server.bucket, Key="kept")["Body"].read() == b"content"
        client.close()
