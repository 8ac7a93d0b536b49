"""Artifacts on a worker's disk, by digest: emptying it changes time only.

Owns the folders `<root>/<algorithm>/`, shared by any number of threads and processes. A file appears there by rename
after its bytes were hashed, so a name is a promise about content. Not its business: where the bytes come from.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path
from typing import BinaryIO

from fleetbeat.errors import ArtifactFailed

Download = Callable[[BinaryIO], None]
"""Writes the artifact's bytes to a file object."""

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
_HEX = {"sha256": 64, "sha384": 96, "sha512": 128}
"""Algorithms of others' digests, ours among them, and how many hex digits they have."""
_IN_USE_SECONDS = 600.0
_LOCKS = 64


def digest_hex(digest: str) -> str:
    """The 64 hex digits of `sha256:<hex>`; raises ArtifactFailed on any other form."""
    match = _DIGEST.match(digest)
    if match is None:
        raise ArtifactFailed(f"{digest[:80]!r} is not a digest of the form sha256:<64 hex digits>")
    return match.group(1)


def _split(digest: str) -> tuple[str, str]:
    """`sha512:<hex>` → algorithm and hex digits; raises ArtifactFailed on what cannot be verified here."""
    algorithm, _, digits = digest.partition(":")
    if algorithm not in _HEX:
        raise ArtifactFailed(
            f"the artifact's digest is of the algorithm {algorithm[:20]!r}, which is not supported; let its maker use "
            "sha256, sha384 or sha512 (source-controller: --artifact-digest-algo)"
        )
    if not re.fullmatch(rf"[0-9a-f]{{{_HEX[algorithm]}}}", digits):
        raise ArtifactFailed(f"{digest[:160]!r} is not a digest of the form {algorithm}:<{_HEX[algorithm]} hex digits>")
    return algorithm, digits


class DigestCache:
    """A size-bounded, least-recently-used set of files named by the digest of their content."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._locks = root / "locks"
        self._max_bytes = max_bytes

    def get(self, digest: str) -> Path | None:
        """The file of that digest, now the most recently used one, or None."""
        path = self._path(digest)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def fetch(self, digest: str, download: Download) -> Path:
        """The file of that digest; downloaded once, however many ask at a time. ArtifactFailed if the bytes differ."""
        path = self.get(digest)
        if path is not None:
            return path
        with self._locked(digest):
            return self.get(digest) or self._add(digest, download)

    def discard(self, digest: str) -> None:
        """Forget a file that turned out to be damaged on this disk."""
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._root.joinpath(*_split(digest))

    def _add(self, digest: str, download: Download) -> Path:
        target = self._path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".new-", dir=target.parent)
        try:
            with os.fdopen(handle, "w+b") as file:
                download(file)
                _verify(file, digest)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._evict()
        return target

    def _evict(self) -> None:
        """Remove the least recently used files above the limit, but none that a run may just have been given."""
        found = sorted(self._stats())
        excess = sum(size for _, size, _ in found) - self._max_bytes
        now = time.time()
        for used, size, path in found:
            if excess <= 0 or now - used < _IN_USE_SECONDS:
                return
            path.unlink(missing_ok=True)
            excess -= size

    def _stats(self) -> Iterator[tuple[float, int, Path]]:
        for path in (path for algorithm in _HEX for path in self._root.glob(f"{algorithm}/*")):
            with suppress(FileNotFoundError):
                stat = path.stat()
                yield stat.st_mtime, stat.st_size, path

    @contextmanager
    def _locked(self, digest: str) -> Iterator[None]:
        """One download of a digest at a time on this machine; the kernel drops the lock of a killed process."""
        self._locks.mkdir(parents=True, exist_ok=True)
        with (self._locks / str(int(_split(digest)[1][:4], 16) % _LOCKS)).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _verify(file: BufferedRandom, digest: str) -> None:
    file.flush()
    file.seek(0)
    algorithm = _split(digest)[0]
    actual = f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
    if actual != digest:
        raise ArtifactFailed(
            f"the artifact's content is {actual}, its record says {digest}; it will be built again", retry_after=30.0
        )
