"""Writing to a repository of a registry: blobs, then the manifests that name them. Owns uploads; reads nothing back."""

from __future__ import annotations

from typing import IO, ClassVar
from urllib.parse import quote, urljoin, urlsplit

from fleetbeat.errors import OCIPullFailed
from fleetbeat.sources.oci.reference import digest_of
from fleetbeat.sources.oci.registry import Progress, Registry
from fleetbeat.sources.oci.wire import finish


class WritableRegistry(Registry):
    """One repository that may be written to, if the login allows it."""

    rights: ClassVar[str] = "pull,push"

    def has_blob(self, digest: str) -> bool:
        """Whether the repository has that blob already."""
        what = f"{self.repository}: the blob {digest}"
        response = self._request("HEAD", f"blobs/{digest}", what)
        finish(response)
        if response.status not in (200, 404):
            raise self._wire.refuse(response, what)
        return response.status == 200

    def push_blob(self, digest: str, size: int, file: IO[bytes], progress: Progress | None = None) -> None:
        """Upload a blob from `file`'s beginning, unless the repository has it."""
        if self.has_blob(digest):
            return
        what = f"{self.repository}: uploading {digest}"
        response = self._request("POST", "blobs/uploads/", what, {"Content-Length": "0"}, b"")
        self._expect(response, what, 202)
        finish(response)
        location = response.headers.get("Location", "")
        target = urljoin(urljoin(self._wire.base, self._path("blobs/uploads/")), location)
        if not location or not self._wire.own(target):
            raise OCIPullFailed(f"{what}: the registry names no place of its own to upload to")
        url = f"{target}{'&' if urlsplit(target).query else '?'}digest={quote(digest, safe='')}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        file.seek(0)
        response = self._request("PUT", url, what, headers, _Told(file, progress) if progress else file)
        self._expect(response, what, 201)
        finish(response)

    def push_manifest(self, reference: str, raw: bytes, media_type: str) -> str:
        """Write a manifest under a tag or its digest; returns the digest. Its blobs must be there."""
        what = self._named(reference)
        response = self._request("PUT", f"manifests/{reference}", what, {"Content-Type": media_type}, raw)
        self._expect(response, what, 201)
        finish(response)
        return digest_of(raw)


class _Told:
    """A file whose reader is watched."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if data:
            self._progress(len(data))
        return data

    def seek(self, position: int) -> int:
        return self._file.seek(position)
