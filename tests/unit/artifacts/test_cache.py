"""The cache on disk: names are promises about content, whoever writes at the same time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from fleetbeat.artifacts import DigestCache
from fleetbeat.errors import ArtifactFailed

pytestmark = pytest.mark.unit


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def fill(cache: DigestCache, data: bytes) -> Path:
    return cache.fetch(digest(data), lambda file: _write(file, data))


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def age(path: Path, seconds: float) -> None:
    used = time.time() - seconds
    os.utime(path, (used, used))


def test_the_second_read_downloads_nothing(tmp_path: Path) -> None:
    """What is cached stays, also for another instance over the same folder."""
    path = fill(DigestCache(tmp_path, 1000), b"one")

    def never(file: BinaryIO) -> None:
        raise AssertionError("downloaded again")

    assert DigestCache(tmp_path, 1000).fetch(digest(b"one"), never) == path
    assert path.read_bytes() == b"one"


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    """A damaged or forged download never gets a name, and leaves nothing behind."""
    cache = DigestCache(tmp_path, 1000)
    with pytest.raises(ArtifactFailed, match="its record says sha256:"):
        cache.fetch(digest(b"right"), lambda file: _write(file, b"wrong"))
    assert cache.get(digest(b"right")) is None
    assert list((tmp_path / "sha256").iterdir()) == []


@pytest.mark.parametrize("text", ["sha256:../../etc/passwd", "sha256:abc", "sha256:" + "g" * 64, "sha512:" + "0" * 64])
def test_a_digest_is_no_path(tmp_path: Path, text: str) -> None:
    """Nothing but hex digits, as many as the algorithm has, becomes a file name."""
    with pytest.raises(ArtifactFailed, match="not a digest"):
        DigestCache(tmp_path, 1000).get(text)


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_others_may_use_longer_digests(tmp_path: Path, algorithm: str) -> None:
    """Verified and kept as ours are."""
    cache, name = DigestCache(tmp_path, 1000), f"{algorithm}:{hashlib.new(algorithm, b'one').hexdigest()}"
    with pytest.raises(ArtifactFailed, match=f"its record says {algorithm}:"):
        cache.fetch(name, lambda file: _write(file, b"two"))
    path = cache.fetch(name, lambda file: _write(file, b"one"))
    assert cache.get(name) == path
    assert path.read_bytes() == b"one"
    age(path, 3600)
    fill(cache, b"x" * 1000)
    assert cache.get(name) is None


@pytest.mark.parametrize("text", ["blake3:" + "0" * 64, "md5:" + "0" * 32, ""])
def test_what_cannot_be_verified_is_refused(tmp_path: Path, text: str) -> None:
    """The message says what to change."""
    with pytest.raises(ArtifactFailed, match="use sha256, sha384 or sha512"):
        DigestCache(tmp_path, 1000).get(text)


def test_one_download_for_many_threads(tmp_path: Path) -> None:
    """Eight consumers of a new artifact cost one request."""
    cache, calls, gate = DigestCache(tmp_path, 1000), [], threading.Barrier(8)

    def download(file: BinaryIO) -> None:
        calls.append(1)
        file.write(b"shared")

    def run(_: int) -> bytes:
        gate.wait()
        return cache.fetch(digest(b"shared"), download).read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(run, range(8))) == {b"shared"}
    assert len(calls) == 1


def test_processes_share_a_folder(tmp_path: Path) -> None:
    """Several processes fill and evict at once; every answer has the right content."""
    program = (
        "import hashlib, pathlib, sys\n"
        "from fleetbeat.artifacts import DigestCache\n"
        "cache = DigestCache(pathlib.Path(sys.argv[1]), 5000)\n"
        "for i in range(100):\n"
        "    data = b'%d' % (i % 10) * 1000\n"
        "    path = cache.fetch('sha256:' + hashlib.sha256(data).hexdigest(), lambda file: file.write(data))\n"
        "    assert path.read_bytes() == data\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    """Above the limit old files go, but none that was handed out a moment ago."""
    cache = DigestCache(tmp_path, 25)
    old, used, fresh = (fill(cache, name * 10) for name in (b"a", b"b", b"c"))
    assert all(path.exists() for path in (old, used, fresh)), "all are in use"
    age(old, 5000)
    age(used, 9000)
    assert cache.get(digest(b"b" * 10)) == used
    fill(cache, b"d")
    assert [path.exists() for path in (old, used, fresh)] == [False, True, True]


def test_a_damaged_file_can_be_dropped(tmp_path: Path) -> None:
    """A consumer that found other bytes discards them and gets good ones."""
    cache = DigestCache(tmp_path, 1000)
    fill(cache, b"one").write_bytes(b"bad")
    cache.discard(digest(b"one"))
    assert fill(cache, b"one").read_bytes() == b"one"
