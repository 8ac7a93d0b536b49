"""An artifact that somebody else serves, by its URL: the bytes and nothing about them.

Owns what a download may take and the words for why there is none. Whoever calls knows the digest and verifies.
"""

from __future__ import annotations

from contextlib import closing
from typing import BinaryIO
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse, Retry, Timeout
from urllib3.exceptions import HTTPError, MaxRetryError

from fleetbeat.errors import ArtifactFailed, ArtifactMoving
from fleetbeat.sources import pools
from fleetbeat.sources.credentials import ANONYMOUS
from fleetbeat.sources.deadline import Deadline

MAX_BYTES = 2 << 30
"""Of one artifact, as sent."""
SECONDS = 120.0
"""For one download."""
REPLACED_AFTER = 30.0
"""Seconds until a missing file is looked for again: its new name stands in the source's status by then."""
AWAY_AFTER = 15.0
"""Seconds until a server that did not answer is asked again."""
_CONNECT, _SILENCE = 5.0, 30.0
_CHUNK = 1 << 20
_PATIENCE = Retry(
    total=5, connect=2, read=1, redirect=3, status=0, other=0, backoff_factor=0.2, respect_retry_after_header=False
)


def download(url: str, size: int | None, file: BinaryIO) -> None:
    """Copy what `url` serves to `file`, `size` bytes where that is known.

    Raises ArtifactMoving when there is no such file, ArtifactFailed on anything else.
    """
    host = urlsplit(url).hostname
    if urlsplit(url).scheme not in ("http", "https") or not host:
        raise ArtifactFailed(f"the source's status.artifact.url {url[:200]!r} is not an http(s) URL")
    if size is not None and size > MAX_BYTES:
        raise ArtifactFailed(f"the source's artifact has {size} bytes, more than the {MAX_BYTES} allowed")
    deadline = Deadline.after(SECONDS, ArtifactFailed)
    try:
        with closing(_open(url)) as answer:
            _check(answer, url)
            _copy(answer, MAX_BYTES if size is None else size, file, deadline)
    except HTTPError as error:
        cause = error.reason if isinstance(error, MaxRetryError) and isinstance(error.reason, HTTPError) else error
        raise ArtifactFailed(f"artifact server {host}: {pools.describe(cause)}", retry_after=AWAY_AFTER) from error


def _open(url: str) -> BaseHTTPResponse:
    return pools.pool(url, ANONYMOUS).request(
        "GET",
        url,
        headers={"Accept-Encoding": "identity", "User-Agent": "fleetbeat"},
        timeout=Timeout(connect=_CONNECT, read=_SILENCE),
        retries=_PATIENCE,
        preload_content=False,
    )


def _check(answer: BaseHTTPResponse, url: str) -> None:
    if answer.status == 200:
        return
    if answer.status in (404, 410):
        raise ArtifactMoving(f"{url[:500]} is not there (any more): it is being replaced", retry_after=REPLACED_AFTER)
    raise ArtifactFailed(f"{url[:500]} answers HTTP {answer.status}", retry_after=AWAY_AFTER)


def _copy(answer: BaseHTTPResponse, most: int, file: BinaryIO, deadline: Deadline) -> None:
    copied = 0
    for chunk in answer.stream(_CHUNK, decode_content=False):
        deadline.left()
        copied += len(chunk)
        if copied > most:
            raise ArtifactFailed(f"the artifact server sends more than the {most} bytes of the source's status")
        file.write(chunk)
