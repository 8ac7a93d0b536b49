"""Requests to one registry, with our rules of the road.

Owns timeouts, redirects, whom credentials may reach, plain HTTP, and the words for a registry's refusals. A login goes
to the registry's own origin alone; where it redirects to, nobody learns it. The registry's answers are read under a
cap and the run's deadline.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import IO, Protocol, cast
from urllib.parse import urljoin, urlsplit

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, SSLError
from urllib3.util import Timeout

from fleetbeat.errors import AuthenticationFailed, FleetbeatError, OCINotFound, OCIPullFailed
from fleetbeat.sources.credentials import HttpCredentials
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.limits import CONNECT_SECONDS, MAX_REDIRECTS, READ_SECONDS
from fleetbeat.sources.oci.login import Access
from fleetbeat.sources.patience import later
from fleetbeat.sources.pools import describe, pool, speaks_no_tls

_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 256 * 1024
_REST_BYTES = 64 * 1024
_USER_AGENT = "fleetbeat"
_PLAIN_SECONDS = 600.0
_PLAIN: dict[tuple[str, str], float] = {}
"""Endpoint and access → until when it is believed to speak plain HTTP alone."""


class Replayable(Protocol):
    """A body that can be sent again."""

    def read(self, size: int = -1, /) -> bytes: ...
    def seek(self, position: int, /) -> int: ...


Body = bytes | Replayable | None
Headers = dict[str, str]


class Wire:
    """Sends requests to one endpoint for the length of one run; not for several threads at a time."""

    def __init__(self, endpoint: str, access: Access, deadline: Deadline) -> None:
        """`endpoint` is `host[:port]`."""
        self.endpoint = endpoint
        self.access = access
        self.deadline = deadline
        self._slot = endpoint, access.fingerprint

    @property
    def base(self) -> str:
        """The URL that paths are relative to; https unless the endpoint is known not to speak it."""
        plain = self.access.insecure and _PLAIN.get(self._slot, 0.0) > monotonic()
        return f"{'http' if plain else 'https'}://{self.endpoint}/"

    def own(self, url: str) -> bool:
        """Whether the URL is of the registry's own origin."""
        return _origin(url) == _origin(self.base)

    def send(self, method: str, path: str, headers: Headers, body: Body = None) -> tuple[str, BaseHTTPResponse]:
        """One request to the endpoint by path or own URL; an insecure one falls back to plain HTTP.

        Returns where it went and the unread answer, whatever its status. Raises OCIPullFailed without an answer.
        """
        url = urljoin(self.base, path)
        try:
            return url, self._once(method, url, headers, body)
        except (SSLError, NewConnectionError, ProtocolError) as error:
            if not self._may_be_plain(url, error):
                raise self._broken(url, error) from error
        except HTTPError as error:
            raise self._broken(url, error) from error
        return self._plainly(method, path, headers, body)

    def _may_be_plain(self, url: str, error: HTTPError) -> bool:
        """Whether to try without encryption; never where the server spoke TLS and showed a certificate."""
        shown_one = "CERTIFICATE_VERIFY_FAILED" in str(error)
        return self.access.insecure and url.startswith("https://") and self.own(url) and not shown_one

    def _plainly(self, method: str, path: str, headers: Headers, body: Body) -> tuple[str, BaseHTTPResponse]:
        url = urljoin(f"http://{self.endpoint}/", path)
        try:
            response = self._once(method, url, headers, body)
        except HTTPError as error:
            raise self._broken(url, error) from error
        _PLAIN[self._slot] = monotonic() + _PLAIN_SECONDS
        return url, response

    def follow(self, url: str, response: BaseHTTPResponse, method: str, headers: Headers) -> BaseHTTPResponse:
        """Go where an answer redirects to, if it does; a login in `headers` does not leave the registry's origin."""
        for _ in range(MAX_REDIRECTS):
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            finish(response)
            target = urljoin(url, location)
            if urlsplit(target).scheme not in ("https", urlsplit(url).scheme) or "@" in urlsplit(target).netloc:
                raise OCIPullFailed(f"{shown(url)} redirects to {shown(target)}, which is not followed")
            url = target
            if not self.own(url):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            response = self.elsewhere(method, url, headers)
        raise OCIPullFailed(f"{shown(url)}: more than {MAX_REDIRECTS} redirects")

    def elsewhere(self, method: str, url: str, headers: Headers, body: Body = None) -> BaseHTTPResponse:
        """One request to any URL, a token server's for instance. Raises OCIPullFailed without an answer."""
        try:
            return self._once(method, url, headers, body)
        except HTTPError as error:
            raise self._broken(url, error) from error

    def _once(self, method: str, url: str, headers: Headers, body: Body) -> BaseHTTPResponse:
        """One request; a connection that the server had closed in the meantime is replaced once."""
        try:
            return self._attempt(method, url, headers, body)
        except ProtocolError:
            if hasattr(body, "read"):
                raise
            return self._attempt(method, url, headers, body)

    def _attempt(self, method: str, url: str, headers: Headers, body: Body) -> BaseHTTPResponse:
        left = self.deadline.left()
        trust = self.access.trust
        pair = (trust.certificate, trust.key) if self.own(url) else (None, None)
        account = HttpCredentials(ca=trust.ca, certificate=pair[0], key=pair[1], proxy=trust.proxy)
        verify = not (self.access.insecure and trust.ca is None)
        return pool(url, account, verify=verify).request(
            method,
            url,
            headers={"User-Agent": _USER_AGENT, **headers},
            body=cast("IO[bytes]", body),
            preload_content=False,
            decode_content=False,
            redirect=False,
            retries=False,
            timeout=Timeout(connect=min(CONNECT_SECONDS, left), read=min(READ_SECONDS, left)),
        )

    def _broken(self, url: str, error: HTTPError) -> FleetbeatError:
        self.deadline.left()
        plain = isinstance(error, SSLError) and speaks_no_tls(error)
        if plain and not self.access.insecure:
            return OCIPullFailed(f"{shown(url)}: the server does not speak TLS; spec.insecure allows plain HTTP")
        return OCIPullFailed(f"{shown(url)}: {describe(error, self.access.trust.proxy)}")

    def chunks(self, response: BaseHTTPResponse, cap: int, what: str) -> Iterator[bytes]:
        """The body piece by piece; looks at the clock whenever something arrives. Raises OCIPullFailed beyond `cap`."""
        left = cap
        try:
            while piece := response.read1(_CHUNK, decode_content=False):
                left -= len(piece)
                if left < 0:
                    raise OCIPullFailed(f"{what}: the registry sent more than the {cap} bytes that are allowed")
                self.deadline.left()
                yield piece
        except HTTPError as error:
            raise OCIPullFailed(f"{what}: reading the registry's answer: {describe(error)}") from error
        finally:
            finish(response)

    def read(self, response: BaseHTTPResponse, cap: int, what: str) -> bytes:
        """The whole body."""
        return b"".join(self.chunks(response, cap, what))

    def refuse(self, response: BaseHTTPResponse, what: str) -> FleetbeatError:
        """An answer of status 400 and more as an error; what the registry says in words is not repeated."""
        finish(response)
        status = response.status
        if status in (401, 403):
            return AuthenticationFailed(f"{what}: the registry refused access (HTTP {status}); {self.access.advice}")
        if status == 404:
            return OCINotFound(f"{what}: not found in the registry; check spec.url and spec.ref")
        pause = later(response.headers.get("Retry-After"))
        words = "asks to slow down (HTTP 429)" if status == 429 else f"answered with HTTP {status}"
        return OCIPullFailed(f"{what}: the registry {words}", retry_after=pause, asked_by=self.endpoint)


def finish(response: BaseHTTPResponse) -> None:
    """Give the connection back when little is left to read, else close it."""
    with suppress(HTTPError):
        response.read1(_REST_BYTES, decode_content=False)
    response.close()


def shown(url: str) -> str:
    """A URL for messages: without user part and query, which may hold a signature."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
