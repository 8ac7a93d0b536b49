"""A client of the OCI distribution API: one repository of one registry, read. Writing is push.py's.

Owns which requests are made and the proof that what came is what was asked for: everything read by digest is checked
against it, everything read at all has a cap. How requests travel is wire.py's, logging in auth.py's business.
Errors: OCINotFound, AuthenticationFailed, OCIPullFailed (with `retry_after` where the registry gave one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import BinaryIO, ClassVar
from urllib.parse import quote, urljoin

import msgspec
from urllib3 import BaseHTTPResponse

from fleetbeat.errors import OCINotFound, OCIPullFailed
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.auth import Authenticator
from fleetbeat.sources.oci.limits import OciLimits
from fleetbeat.sources.oci.login import Access
from fleetbeat.sources.oci.manifest import ACCEPT, Descriptor, Manifest, read_manifest
from fleetbeat.sources.oci.reference import Repository, digest_of, hasher, is_digest, is_tag, verify
from fleetbeat.sources.oci.wire import Body, Wire, finish

Progress = Callable[[int], None]
"""Told how many further bytes went over the wire."""

_PAGE = 1000


class _Tags(msgspec.Struct, frozen=True):
    tags: tuple[str, ...] | None = None


class _Referrers(msgspec.Struct, frozen=True):
    manifests: tuple[Descriptor, ...] | None = None


_TAGS = msgspec.json.Decoder(_Tags)
_REFERRERS = msgspec.json.Decoder(_Referrers)


class Registry:
    """One repository, for the length of one run; not for several threads at a time."""

    rights: ClassVar[str] = "pull"

    def __init__(
        self,
        repository: Repository,
        access: Access,
        deadline: Deadline,
        limits: OciLimits | None = None,
    ) -> None:
        self.repository = repository
        self.access = access
        self.deadline = deadline
        self.limits = limits or OciLimits()
        self._wire = Wire(repository.endpoint, access, deadline)
        scope = f"repository:{repository.name}:{self.rights}"
        self._auth = Authenticator(self._wire, scope, self.limits)

    # Reading

    def resolve(self, reference: str) -> Descriptor:
        """The descriptor of the manifest that a tag or digest names: one HEAD, or a GET where that does not tell."""
        what = self._named(reference)
        response = self._request("HEAD", f"manifests/{reference}", what, {"Accept": ACCEPT})
        finish(response)
        digest = response.headers.get("Docker-Content-Digest", "")
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        size = response.headers.get("Content-Length", "")
        if response.status != 200 or not is_digest(digest) or not kind or not size.isdecimal():
            return self.manifest(reference).descriptor
        if is_digest(reference) and digest != reference:
            raise OCIPullFailed(f"{what}: the registry answers with another digest, {digest}")
        return Descriptor(kind, digest, int(size))

    def manifest(self, reference: str) -> Manifest:
        """The manifest (or index) that a tag or digest names, verified."""
        what = self._named(reference)
        response = self._request("GET", f"manifests/{reference}", what, {"Accept": ACCEPT})
        self._expect(response, what, 200)
        raw = self._wire.read(response, self.limits.manifest_bytes, what)
        told = response.headers.get("Docker-Content-Digest", "")
        digest = reference if is_digest(reference) else told if is_digest(told) else digest_of(raw)
        verify(raw, digest, what)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        return read_manifest(raw, digest, kind, what)

    def blob(self, blob: Descriptor, out: BinaryIO, cap: int | None = None, progress: Progress | None = None) -> None:
        """Write a blob to `out`, verified by size and digest; what was written before an error is of no use."""
        what = f"{self.repository}: the blob {blob.digest}"
        state = hasher(blob.digest)
        cap = self.limits.blob_bytes if cap is None else cap
        if not 0 <= blob.size <= cap:
            raise OCIPullFailed(f"{what} has {blob.size} bytes, more than the {cap} that are allowed")
        response = self._request("GET", f"blobs/{blob.digest}", what)
        self._expect(response, what, 200)
        size = 0
        for piece in self._wire.chunks(response, blob.size, what):
            state.update(piece)
            out.write(piece)
            size += len(piece)
            if progress:
                progress(len(piece))
        if size != blob.size or not blob.digest.endswith(f":{state.hexdigest()}"):
            raise OCIPullFailed(f"{what}: what the registry sent does not have that digest; nothing of it is used")

    def read_blob(self, blob: Descriptor, cap: int) -> bytes:
        """A small blob, verified."""
        out = BytesIO()
        self.blob(blob, out, cap)
        return out.getvalue()

    def tags(self) -> list[str]:
        """All tags of the repository, in the registry's order."""
        what = f"{self.repository}: the list of tags"
        found: list[str] = []
        for page in self._pages(f"tags/list?n={_PAGE}", what):
            try:
                found.extend(_TAGS.decode(page).tags or ())
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise OCIPullFailed(f"{what} cannot be read: {error}") from error
        return [tag for tag in dict.fromkeys(found) if is_tag(tag)]

    def referrers(self, digest: str, artifact_type: str | None = None) -> list[Descriptor]:
        """What refers to a manifest as its subject, such as signatures, by API or, where there is none, by tag.

        Descriptors as the registry lists them: read each through `manifest(descriptor.digest)`, which verifies, and
        check there that `subject` is what was asked for.
        """
        what = f"{self.repository}: what refers to {digest}"
        hasher(digest)
        query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
        try:
            found = self._listed(f"referrers/{digest}{query}", what)
        except OCINotFound:
            found = self._tagged(digest)
        return [one for one in found if artifact_type in (None, one.artifact_type)]

    def _listed(self, path: str, what: str) -> list[Descriptor]:
        found: list[Descriptor] = []
        for page in self._pages(path, what):
            try:
                found.extend(_REFERRERS.decode(page).manifests or ())
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise OCIPullFailed(f"{what} cannot be read: {error}") from error
        return found

    def _tagged(self, digest: str) -> list[Descriptor]:
        """The index that clients keep up where the registry has no referrers API."""
        try:
            algorithm, _, value = digest.partition(":")
            index = self.manifest(f"{algorithm}-{value[:64]}")
        except OCINotFound:
            return []
        return list(index.document.manifests or ())

    # Requests

    def _named(self, reference: str) -> str:
        if not is_digest(reference) and not is_tag(reference):
            raise OCIPullFailed(f"{reference[:140]!r} is neither a tag nor a sha256 or sha512 digest")
        return f"{self.repository}{'@' if is_digest(reference) else ':'}{reference}"

    def _path(self, rest: str) -> str:
        return f"/v2/{self.repository.name}/{rest}"

    def _request(
        self, method: str, rest: str, what: str, headers: dict[str, str] | None = None, body: Body = None
    ) -> BaseHTTPResponse:
        """The unread answer, whatever its status, after logging in and after redirects of what is only read."""
        path = rest if "://" in rest else self._path(rest)
        headers = headers or {}
        for _ in range(3):
            login = self._auth.header()
            url, response = self._wire.send(method, path, _with(headers, login), body)
            if response.status != 401:
                break
            finish(response)
            if not self._auth.learn(response, login):
                break
            if body is not None and not isinstance(body, bytes):
                body.seek(0)
        if body is None:
            response = self._wire.follow(url, response, method, _with(headers, login))
        if response.status in (401, 403, 429) or response.status >= 500:
            raise self._wire.refuse(response, what)
        return response

    def _expect(self, response: BaseHTTPResponse, what: str, status: int) -> None:
        if response.status != status:
            raise self._wire.refuse(response, what)

    def _pages(self, rest: str, what: str) -> Iterator[bytes]:
        """The pages of a list, as long as each names the next one."""
        left = self.limits.listing_bytes
        for _ in range(self.limits.pages):
            response = self._request("GET", rest, what)
            self._expect(response, what, 200)
            page = self._wire.read(response, left, what)
            left -= len(page)
            yield page
            following = _next(response.headers.get("Link", ""))
            if not following:
                return
            rest = urljoin(urljoin(self._wire.base, self._path(rest)), following)
            if not self._wire.own(rest):
                raise OCIPullFailed(f"{what}: its next page is on another server, which is not followed")
        raise OCIPullFailed(f"{what} has more than {self.limits.pages} pages")


def _with(headers: dict[str, str], login: str | None) -> dict[str, str]:
    return headers if login is None else {**headers, "Authorization": login}


def _next(link: str) -> str:
    """The target of `Link: <…>; rel="next"`, or empty."""
    for part in link.split(","):
        target, _, parameters = part.partition(";")
        if 'rel="next"' in parameters.replace(" ", "") or "rel=next" in parameters.replace(" ", ""):
            return target.strip().strip("<>")
    return ""
