"""Raw requests to one API server: bytes out, bytes in, typed errors.

Owns connections (a urllib3 pool), retries, the breaker and request counts. Knows nothing of kinds: callers pass paths.
Redirects are not followed, so that credentials never leave for another host. Every request has a timeout.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import urllib3

from fleetbeat.kube import breaker
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.connections import open_pool, read_whole
from fleetbeat.kube.errors import KubeError, ServerError, TooManyRequests, Unreachable, from_response
from fleetbeat.kube.explain import TIMEOUT, unauthorized, unreachable

JSON = "application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Asks for metadata alone, which spares the API server the rest."""
APPLY = "application/apply-patch+yaml"  # JSON is YAML, so bodies stay JSON
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

POOL_SIZE = 16
RETRIES = 3
CONNECT_TIMEOUT = 5.0
LONGEST_PAUSE = 5.0
"""Seconds that a Retry-After is honoured here; longer ones are the caller's to schedule."""

Params = Mapping[str, str | int | bool]
Headers = Mapping[str, str]
Body = bytes | Mapping[str, Any] | Sequence[Any]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer below 400."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The decoded body."""
        return orjson.loads(self.body)


class KubeClient:
    """One account on one API server. Thread-safe; `impersonate` gives other accounts over the same connections."""

    def __init__(
        self,
        config: ClusterConfig,
        timeout: float = 30.0,
        pool_size: int = POOL_SIZE,
        longest_break: float = breaker.LONGEST,
    ) -> None:
        """longest_break: seconds for which a server that does not answer is left alone at most."""
        self.config = config
        self.timeout = timeout
        """Seconds that one request may take to answer, unless it says otherwise."""
        self.stats: Counter[tuple[str, str]] = Counter()
        """Requests sent so far by (verb, resource), such as ("PATCH", "configmaps"); shared by impersonations."""
        self._stats_lock = threading.Lock()
        self._breaker = breaker.Breaker(longest=longest_break)
        self._pool = open_pool(config, pool_size)
        # With a proxy, requests go through the manager, which knows when to tunnel; else straight to the one host.
        self._host = None if config.proxy_url else self._pool.connection_from_url(config.server)
        self._base = config.server if self._host is None else urlsplit(config.server).path
        self._account: tuple[tuple[str, str], ...] = ()

    def impersonate(self, user: str, groups: Sequence[str] = ()) -> KubeClient:
        """The same connections, breaker and counts, acting as `user`.

        Without groups the API server gives service accounts theirs.
        """
        other = object.__new__(KubeClient)
        other.__dict__.update(self.__dict__)
        other._account = (("Impersonate-User", user), *(("Impersonate-Group", group) for group in groups))
        return other

    @property
    def user(self) -> str:
        """The impersonated user, "" when acting as the configured account."""
        return self._account[0][1] if self._account else ""

    def request(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        body: Body | None = None,
        content_type: str | None = None,
        accept: str | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """One request; returns the body. Raises a KubeError subclass. A body that is not bytes is sent as JSON."""
        return self.send(method, path, params, body, content_type, accept, timeout).body

    def send(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        body: Body | None = None,
        content_type: str | None = None,
        accept: str | None = None,
        timeout: float | None = None,
    ) -> Response:
        """As `request`, with the status code: a PATCH that created its object answers 201."""
        url = f"{self._base}{path}?{_query(params)}" if params else f"{self._base}{path}"
        payload = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        headers = self._headers(accept or JSON, content_type or (JSON if payload is not None else None))
        again = method == "GET" or content_type == APPLY
        for attempt in range(1, RETRIES + 1):
            try:
                return self._once(method, path, url, payload, headers, timeout or self.timeout)
            except (TooManyRequests, ServerError, Unreachable) as error:
                pause = _pause(error, attempt, again)
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def get(self, path: str, params: Params | None = None, *, timeout: float | None = None) -> dict[str, Any]:
        """One decoded object."""
        return self._json("GET", path, params, timeout=timeout)

    def list(self, path: str, params: Params | None = None, *, timeout: float | None = None) -> dict[str, Any]:
        """One decoded list object; the items are under `items`, without apiVersion and kind."""
        return self._json("GET", path, params, timeout=timeout)

    def create(self, path: str, obj: Body, params: Params | None = None, accept: str | None = None) -> dict[str, Any]:
        """POST to a collection; raises Conflict when the object exists."""
        return self._json("POST", path, params, obj, accept=accept)

    def update(self, path: str, obj: Body, params: Params | None = None, accept: str | None = None) -> dict[str, Any]:
        """PUT a whole object; raises Conflict when its resourceVersion is not the live one."""
        return self._json("PUT", path, params, obj, accept=accept)

    def patch(
        self,
        path: str,
        patch: Body,
        content_type: str = MERGE,
        params: Params | None = None,
        accept: str | None = None,
    ) -> dict[str, Any]:
        """Merge patch, or JSON patch with `content_type=JSON_PATCH`."""
        return self._json("PATCH", path, params, patch, content_type, accept=accept)

    def apply(
        self, path: str, obj: Body, field_manager: str, *, force: bool = True, dry_run: bool = False
    ) -> dict[str, Any]:
        """Server-side apply of one object."""
        params: dict[str, str | int | bool] = {"fieldManager": field_manager, "force": force}
        if dry_run:
            params["dryRun"] = "All"
        return self._json("PATCH", path, params, obj, APPLY)

    def delete(self, path: str, *, uid: str = "", resource_version: str = "", propagation: str = "Background") -> None:
        """Delete, under preconditions where given (raises Conflict when they do not hold); NotFound is raised too."""
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        options["preconditions"] = {key: value for key, value in preconditions.items() if value}
        self.request("DELETE", path, body=options)

    def close(self) -> None:
        """Close idle connections; running requests end by themselves."""
        self._pool.clear()

    def _json(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        body: Body | None = None,
        content_type: str | None = None,
        timeout: float | None = None,
        accept: str | None = None,
    ) -> dict[str, Any]:
        answer: dict[str, Any] = orjson.loads(self.request(method, path, params, body, content_type, accept, timeout))
        return answer

    def _headers(self, accept: str, content_type: str | None) -> Headers:
        headers = {**self.config.auth_headers(), "Accept": accept, "User-Agent": "fleetbeat"}
        if content_type:
            headers["Content-Type"] = content_type
        if len(self._account) < 3:
            return {**headers, **dict(self._account)}
        repeated = urllib3.HTTPHeaderDict(headers)
        for name, value in self._account:
            repeated.add(name, value)
        return repeated

    def _once(
        self, method: str, path: str, url: str, payload: bytes | None, headers: Headers, timeout: float
    ) -> Response:
        refused = self._breaker.refuses()
        if refused is not None:
            message, left = refused
            raise Unreachable(message, retry_after=left)  # the same text each time, so that a status stays as it is
        self._count(method, path)
        begun = time.monotonic()
        try:
            answer = self._open(method, url, payload, headers, timeout)
            body = read_whole(answer)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            problem = unreachable(self.config, error)
            self._breaker.failed(problem.message, time.monotonic() - begun)
            raise problem from error
        self._breaker.answered()
        if answer.status < 300:
            return Response(answer.status, body)
        raise self._error(answer.status, body, answer.headers.get("Retry-After"))

    def _open(
        self, method: str, url: str, payload: bytes | None, headers: Headers, timeout: float
    ) -> urllib3.BaseHTTPResponse:
        options: dict[str, Any] = {
            "body": payload,
            "headers": headers,
            "timeout": _timeouts(timeout),
            "retries": False,
            "redirect": False,
            "preload_content": False,
        }
        if self._host is None:
            return self._pool.urlopen(method, url, **options)
        return self._host.urlopen(method, url, assert_same_host=False, **options)

    def _error(self, status: int, body: bytes, retry_after: str | None) -> KubeError:
        after = float(retry_after) if retry_after and retry_after.isdigit() else None
        return unauthorized(self.config, body) if status == 401 else from_response(status, body, after)

    def _count(self, method: str, path: str) -> None:
        key = (method, resource_of(path))
        with self._stats_lock:
            self.stats[key] += 1


def resource_of(path: str) -> str:
    """The plural (and subresource) that an API path names: `/api/v1/namespaces/a/pods/b/status` → `pods/status`."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    return "/".join(parts[:1] + parts[2:])


def _query(params: Params) -> str:
    return _encoded(tuple(params.items()))


@lru_cache(maxsize=256)
def _encoded(params: tuple[tuple[str, str | int | bool], ...]) -> str:
    return urlencode({k: str(v).lower() if isinstance(v, bool) else v for k, v in params})


@lru_cache(maxsize=16)
def _timeouts(seconds: float) -> urllib3.Timeout:
    return urllib3.Timeout(connect=min(seconds, CONNECT_TIMEOUT), read=seconds)


def _pause(error: KubeError, attempt: int, idempotent: bool) -> float | None:
    """Seconds until another try of this request makes sense; None when it does not."""
    refused = isinstance(error, TooManyRequests) or error.status == 503
    worthwhile = refused or (idempotent and (isinstance(error, Unreachable) or error.status in (500, 502, 504)))
    waited = isinstance(error, Unreachable) and (error.status_reason == TIMEOUT or error.retry_after is not None)
    if attempt == RETRIES or not worthwhile or waited:
        return None
    if error.retry_after is not None and error.retry_after > LONGEST_PAUSE:
        return None
    return max(error.retry_after or 0.0, 0.1 * 3.0 ** (attempt - 1)) * random.uniform(1.0, 1.3)  # noqa: S311 - jitter
