"""Git's smart HTTP protocol with our rules of the road.

Owns what goes over the wire to a Git server: a timeout on every operation and a deadline on the whole, a cap on what is
read, credentials for the URL's own origin only. dulwich speaks the protocol through `HttpClient._http_request`, the
single door: redirects are followed there for the first request alone and never back to plain HTTP, and everything else
that a server could make a client fetch (pack URIs, the dumb protocol) is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urljoin

from dulwich.client import AbstractHttpGitClient
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, parse_url

from fleetbeat.errors import ArchiveInvalid, AuthenticationFailed, GitOperationFailed
from fleetbeat.sources.credentials import HttpCredentials
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.patience import later
from fleetbeat.sources.pools import PROXY_LOGIN, describe, host_of, is_stale, pool

_ADVERTISEMENT = "info/refs?service=git-upload-pack"
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 30.0
_REST_BYTES = 64 * 1024


@dataclass
class _Response:
    """What dulwich wants to know of a response; `close` keeps the connection when little is left to read."""

    inner: BaseHTTPResponse
    content_type: str
    redirect_location: str

    def close(self) -> None:
        with suppress(HTTPError):
            self.inner.read1(_REST_BYTES)
        self.inner.close()


class HttpClient(AbstractHttpGitClient):
    """dulwich's protocol over our requests; asks for the references once and remembers the answer."""

    def __init__(self, url: str, credentials: HttpCredentials, deadline: Deadline, limits: GitLimits) -> None:
        super().__init__(url, quiet=True)
        self._credentials = credentials
        self._deadline = deadline
        self._limits = limits
        self._origins = {_origin(url)}
        self._advertised: dict[tuple[bytes, ...], Any] = {}

    def _discover_references(
        self,
        service: bytes,
        base_url: str,
        protocol_version: int | None = None,
        ref_prefix: Any = None,
    ) -> Any:
        if ref_prefix is None and self._advertised:
            return next(iter(self._advertised.values()))
        key = tuple(ref_prefix or ())
        if key not in self._advertised:
            found = super()._discover_references(service, base_url, protocol_version, ref_prefix or [b"HEAD"])
            self._advertised[key] = found
        return self._advertised[key]

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> Any:
        body = data if data is None or isinstance(data, bytes) else b"".join(data)
        advertisement = body is None and url.endswith("/" + _ADVERTISEMENT)
        if not advertisement and (body is None or _origin(url) not in self._origins):
            raise GitOperationFailed(f"the server refers to {_shown(url)}, which is not followed")
        final, response = self._follow(url, headers or {}, body)
        self._check_status(response, final)
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        if advertisement and kind != "application/x-git-upload-pack-advertisement":
            response.close()
            raise GitOperationFailed(f"{_shown(final)} is not a Git server that speaks the smart HTTP protocol")
        answer = _Response(response, kind, final if final != url else "")
        if advertisement or b"command=ls-refs" in (body or b""):
            # Read to its end, or the connection could not serve the next request.
            listing = _Reader(response, self._deadline, self._limits.refs_bytes).read(self._limits.refs_bytes + 1)
            return answer, BytesIO(listing).read
        return answer, _Reader(response, self._deadline, self._limits.pack_bytes).read

    def _follow(self, url: str, headers: dict[str, str], body: bytes | None) -> tuple[str, BaseHTTPResponse]:
        for _ in range(_MAX_REDIRECTS):
            response = self._send(url, headers, body)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return url, response
            response.close()
            target = urljoin(url, location)
            if body is not None or not target.endswith("/" + _ADVERTISEMENT):
                raise GitOperationFailed(f"{_shown(url)} redirects to {_shown(target)}, which is not a Git repository")
            if not target.startswith("https://") and (url.startswith("https://") or not target.startswith("http://")):
                raise GitOperationFailed(f"{_shown(url)} redirects to {_shown(target)}, which is not encrypted")
            url = target
            self._origins.add(_origin(url))
        raise GitOperationFailed(f"{_shown(url)}: more than {_MAX_REDIRECTS} redirects")

    def _send(self, url: str, headers: dict[str, str], body: bytes | None) -> BaseHTTPResponse:
        """One request; a connection that the server had closed in the meantime is replaced once."""
        trusted = self._may_know_us(url)
        stranger = HttpCredentials(ca=self._credentials.ca, proxy=self._credentials.proxy)
        account = self._credentials if trusted else stranger
        sent = {**headers, "User-Agent": "git/2 (fleetbeat)", "Pragma": "no-cache"}
        if account.authorization is not None:
            sent["Authorization"] = account.authorization
        request: Callable[[], BaseHTTPResponse] = lambda: pool(url, account).request(  # noqa: E731
            "GET" if body is None else "POST",
            url,
            headers=sent,
            body=body,
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=_timeout(self._deadline),
        )
        try:
            try:
                return request()
            except HTTPError as error:
                if not is_stale(error):
                    raise
                return request()
        except HTTPError as error:
            self._deadline.left()
            words = describe(error, account.proxy)
            kind = AuthenticationFailed if words.endswith(PROXY_LOGIN) else GitOperationFailed
            raise kind(f"{_shown(url)}: {words}") from error

    def _may_know_us(self, url: str) -> bool:
        """Credentials go to the origin of the URL in the spec, and to the same host where it asks for encryption."""
        (scheme, host, port), base = _origin(url), _origin(self._base_url)
        upgraded = (scheme, host, port) == ("https", base[1], 443) and (base[0], base[2]) == ("http", 80)
        return (scheme, host, port) == base or upgraded

    def _check_status(self, response: BaseHTTPResponse, url: str) -> None:
        if response.status == 200:
            return
        response.close()
        where = _shown(url)
        if response.status == 407 and self._credentials.proxy is not None:
            address = self._credentials.proxy.address
            raise AuthenticationFailed(f"{where}: the proxy {address} refuses access (HTTP 407); {PROXY_LOGIN}")
        if response.status in (401, 403, 407):
            hint = (
                "check the Secret" if self._credentials.authorization else "it asks for credentials: set spec.secretRef"
            )
            raise AuthenticationFailed(f"{where}: the server refused access (HTTP {response.status}); {hint}")
        if response.status == 404:
            raise GitOperationFailed(f"{where}: repository not found; check spec.url and what the account may see")
        raise GitOperationFailed(
            f"{where}: the server answered with HTTP {response.status}",
            retry_after=later(response.headers.get("Retry-After")),
            asked_by=host_of(url),
        )


class _Reader:
    """Reads a response's body under the deadline and a cap."""

    def __init__(self, response: BaseHTTPResponse, deadline: Deadline, cap: int) -> None:
        self._response = response
        self._deadline = deadline
        self._left = cap

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end only; looks at the clock whenever something arrives."""
        data = bytearray()
        while len(data) < size and (piece := self._piece(size - len(data))):
            data += piece
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveInvalid("the server sent more than a repository may have; split it or use a smaller one")
        return bytes(data)

    def _piece(self, size: int) -> bytes:
        self._deadline.left()
        try:
            return self._response.read1(size)
        except HTTPError as error:
            raise GitOperationFailed(f"reading the server's answer: {describe(error)}") from error


def _timeout(deadline: Deadline) -> Timeout:
    left = deadline.left()
    return Timeout(connect=min(_CONNECT_SECONDS, left), read=min(_READ_SECONDS, left))


def _origin(url: str) -> tuple[str | None, str | None, int | None]:
    parts = parse_url(url)
    return parts.scheme, parts.host, parts.port or {"http": 80, "https": 443}.get(parts.scheme or "")


def _shown(url: str) -> str:
    """A URL for messages: without query and, where a redirect brought one, without user part."""
    parts = parse_url(url)
    port = f":{parts.port}" if parts.port else ""
    path = (parts.path or "").removesuffix("/info/refs").removesuffix("/git-upload-pack")
    return f"{parts.scheme}://{parts.host}{port}{path}"
