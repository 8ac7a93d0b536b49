"""Downloads from chart repositories over HTTP(S).

Owns what goes over the wire: a deadline on the whole, a cap on what is read, credentials for the repository's own
origin only (and for the hosts that its index names, where the spec says so), redirects that never leave encryption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO
from urllib.parse import urljoin

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Retry, Timeout, Url, parse_url

from fleetbeat.errors import AuthenticationFailed, InvalidURL, Retryable
from fleetbeat.sources.credentials import HttpCredentials
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.patience import later
from fleetbeat.sources.pools import describe, host_of, pool

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 30.0
_AGAIN = Retry(1, status=0, respect_retry_after_header=False)
"""Once more where the connection failed; what an answer says about when to come back is for the next run."""
_CHUNK = 32 * 1024
"""As sent; what unfolds of one must fit into memory, whatever the cap says."""


class Missing(Retryable):
    """The server has nothing under that URL; whoever asked says what it means."""


@dataclass(frozen=True)
class Answer:
    """The end of a download."""

    unchanged: bool
    """True: the server confirmed what the caller has (HTTP 304), nothing was written."""
    size: int = 0
    validator: str = ""
    """What a later request may send to be told `unchanged`: the name and value of a header, or empty."""


@dataclass(frozen=True)
class ChartServer:
    """One repository on one server, as one account sees it."""

    url: str
    """Above the index.yaml, without a user part."""
    credentials: HttpCredentials
    deadline: Deadline
    """Its `error` is also what other failures are raised as."""
    pass_credentials: bool = False

    @classmethod
    def of(
        cls, url: str, credentials: HttpCredentials, deadline: Deadline, *, pass_credentials: bool = False
    ) -> ChartServer:
        """Raises InvalidURL for what is no plain http or https URL."""
        return cls(_checked(url), credentials, deadline, pass_credentials)

    def locate(self, relative: str) -> str:
        """The whole URL of something that the index names, relative to itself or not; raises InvalidURL."""
        parts = parse_url(self.url)
        base = Url(parts.scheme, None, parts.host, parts.port, f"{(parts.path or '').rstrip('/')}/").url
        found = urljoin(base, relative)
        if parts.query and found.startswith(base) and "?" not in found:
            found = f"{found}?{parts.query}"
        return _checked(found)

    def get(self, url: str, out: BinaryIO, cap: int, validator: str = "", *, packed: bool = False) -> Answer:
        """Download `url` to `out`; `packed` allows the server to compress it on the way.

        Raises AuthenticationFailed, Missing or the deadline's error."""
        header, _, value = validator.partition(" ")
        accept = {"Accept-Encoding": "gzip" if packed else "identity"}
        response, final = self._follow(url, accept | ({header: value} if value else {}))
        with response:
            if response.status == 304 and value:
                return Answer(unchanged=True, validator=validator)
            self._check(response, final)
            size = self._copy(response, final, out, cap, decode=packed)
            return Answer(False, size, _validator(response.headers))

    def fail(self, message: str) -> Retryable:
        """The error of this server's use."""
        return self.deadline.error(message)

    def _follow(self, url: str, headers: Mapping[str, str]) -> tuple[BaseHTTPResponse, str]:
        trusted = {_origin(self.url)} | ({_origin(url)} if self.pass_credentials else set())
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._send(url, headers, known=_origin(url) in trusted)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response, url
            response.close()
            target = self._target(url, location)
            url = target
        raise self.fail(f"{shown(url)}: more than {_MAX_REDIRECTS} redirects")

    def _target(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        encrypted = url.startswith("https://")
        if not target.startswith("https://") and (encrypted or not target.startswith("http://")):
            raise self.fail(f"{shown(url)} redirects to {shown(target)}, which is not encrypted")
        return target

    def _send(self, url: str, headers: Mapping[str, str], *, known: bool) -> BaseHTTPResponse:
        account = self.credentials if known else HttpCredentials(ca=self.credentials.ca)
        sent = {**headers, "User-Agent": "Helm/4 (fleetbeat)"}
        if account.authorization is not None:
            sent["Authorization"] = account.authorization
        left = self.deadline.left()
        timeout = Timeout(connect=min(_CONNECT_SECONDS, left), read=min(_READ_SECONDS, left))
        options = {"headers": sent, "preload_content": False, "redirect": False, "retries": _AGAIN, "timeout": timeout}
        try:
            return pool(url, account).request("GET", url, **options)  # type: ignore[arg-type]
        except HTTPError as error:
            self.deadline.left()
            raise self.fail(f"{shown(url)}: {describe(getattr(error, 'reason', None) or error)}") from error

    def _check(self, response: BaseHTTPResponse, url: str) -> None:
        if response.status == 200:
            return
        where = shown(url)
        if response.status in (401, 403, 407):
            has = self.credentials.authorization is not None
            hint = "check the Secret" if has else "it asks for credentials: set spec.secretRef of the HelmRepository"
            raise AuthenticationFailed(f"{where}: the server refused access (HTTP {response.status}); {hint}")
        if response.status in (404, 410):
            raise Missing(f"{where}: not found (HTTP {response.status})")
        raise self.deadline.error(
            f"{where}: the server answered with HTTP {response.status}",
            retry_after=later(response.headers.get("Retry-After")),
            asked_by=host_of(url),
        )

    def _copy(self, response: BaseHTTPResponse, url: str, out: BinaryIO, cap: int, *, decode: bool) -> int:
        size = 0
        while True:
            self.deadline.left()
            try:
                piece = response.read1(_CHUNK, decode_content=decode)
            except HTTPError as error:
                raise self.fail(f"{shown(url)}: reading the answer: {describe(error)}") from error
            if not piece:
                break
            size += len(piece)
            if size > cap:
                raise self.fail(f"{shown(url)} has more than the {cap >> 20} MiB that are allowed")
            out.write(piece)
        out.flush()
        out.seek(0)
        return size


def without_login(account: HttpCredentials) -> HttpCredentials:
    """The same trust, and nobody's name."""
    return replace(account, username=None, password=None, bearer_token=None, certificate=None, key=None)


def shown(url: str) -> str:
    """A URL for messages: without query and user part."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        return "a malformed URL"
    return Url(parts.scheme, None, parts.host, parts.port, parts.path).url


def _checked(url: str) -> str:
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise InvalidURL(f"{url[:100]!r} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise InvalidURL(f"{shown(url)!r} is not an http:// or https:// URL")
    if parts.auth:
        raise InvalidURL(
            f"{shown(url)}: a URL carries no user or password here; put them into a Secret (spec.secretRef)"
        )
    return url


def _origin(url: str) -> tuple[str | None, str | None, int | None]:
    parts = parse_url(url)
    return parts.scheme, parts.host, parts.port or {"http": 80, "https": 443}.get(parts.scheme or "")


def _validator(headers: Mapping[str, str]) -> str:
    tag, date = headers.get("ETag"), headers.get("Last-Modified")
    if tag:
        return f"If-None-Match {tag}"
    return f"If-Modified-Since {date}" if date else ""
