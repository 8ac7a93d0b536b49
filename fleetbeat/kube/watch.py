"""List and watch as one endless conversation that survives everything: one coroutine per collection, on one event loop.

Owns resourceVersions, bookmarks, resuming, relisting on 410 and backoff. Callers see complete lists and events, and may
see the same state twice. What the objects mean is theirs.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import orjson

from fleetbeat.kube.client import PARTIAL
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import Gone, KubeError, Unreachable, from_response
from fleetbeat.kube.explain import unauthorized, unreachable
from fleetbeat.kube.metadata import ACCEPT_LIST
from fleetbeat.kube.wire import decode_objects, decode_partials, event_object, event_partial

if TYPE_CHECKING:
    import aiohttp

LIVE_FOR = 120.0
"""Seconds without event or bookmark after which a watch counts as dead; API servers send a bookmark every minute."""
ROUND = 300.0
"""Seconds that one watch request lasts; jittered, so that a process's watches do not renew together."""
SILENCE = 150.0
"""Seconds without any byte after which a watch request is given up."""
CONNECT = 10.0
LIST_TIMEOUT = 60.0
LONGEST_BACKOFF = 30.0
RELIST_AFTER = 3
"""Failures in a row after which nothing is resumed: a restored API server may never reach our resourceVersion again."""
PAGE = 1000
MAX_LINE = 16 << 20
"""Bytes of one event; etcd stores no object above 1.5 MiB, JSON escapes included it stays far below this."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change."""

    type: str
    """ADDED, MODIFIED or DELETED."""
    object: Any
    """A decoded dict, or a `Partial` of a metadata-only watch."""


OnList = Callable[[list[Any]], Awaitable[None]]
"""Called with the complete list (dicts, or `Partial`s) at the start and whenever events may have been missed."""
OnEvent = Callable[[WatchEvent], Awaitable[None]]
OnError = Callable[[KubeError], None]


@asynccontextmanager
async def session(config: ClusterConfig) -> AsyncIterator[Session]:
    """A session for watches of one cluster: one TLS context, as many connections as there are watches."""
    import aiohttp

    context: ssl.SSLContext | bool = config.ssl_context or False
    connector = aiohttp.TCPConnector(limit=0, ssl=context, ttl_dns_cache=60, keepalive_timeout=60)
    async with aiohttp.ClientSession(
        connector=connector, read_bufsize=1 << 20, auto_decompress=True, trust_env=False
    ) as http:
        yield Session(config, http)


@dataclass(frozen=True, slots=True)
class Session:
    """Where watches of one cluster are opened."""

    config: ClusterConfig
    http: aiohttp.ClientSession

    async def get(self, path: str, params: Mapping[str, str], accept: str, *, most: float, silence: float) -> Any:
        """The response of a GET of `most` seconds, to be closed by the caller."""
        import aiohttp

        account = await asyncio.to_thread(self.config.auth_headers)  # somebody may have to be asked for a token
        options: dict[str, Any] = {"proxy": self.config.proxy_url} if self.config.proxy_url else {}
        if self.config.tls_server_name:
            options["server_hostname"] = self.config.tls_server_name
        return await self.http.get(
            f"{self.config.server}{path}",
            params=params,
            headers={**account, "Accept": accept, "User-Agent": "fleetbeat"},
            timeout=aiohttp.ClientTimeout(total=most, sock_connect=CONNECT, sock_read=silence),
            allow_redirects=False,
            **options,
        )


@dataclass(eq=False)
class Watch:
    """One collection being watched; `run` it as a task and cancel that to end it."""

    session: Session
    path: str
    """A collection's path, such as `/api/v1/configmaps`."""
    on_list: OnList
    on_event: OnEvent
    metadata_only: bool = False
    label_selector: str = ""
    on_error: OnError | None = None
    """Told of every failed request; the watch goes on by itself."""
    longest_backoff: float = LONGEST_BACKOFF
    """Seconds between two tries at most."""
    last_seen: float = field(default=float("-inf"), init=False)
    """`time.monotonic()` of the last list, event or bookmark."""
    _version: str = field(default="", init=False)
    _failures: int = field(default=0, init=False)

    @property
    def live(self) -> bool:
        """True while what this watch has told is known to be complete."""
        return monotonic() - self.last_seen < LIVE_FOR

    async def run(self) -> None:
        """List, then watch, for ever. An exception of a callback ends it; nothing of the API server does."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                self._failures = 0
            except Gone:
                self._version = ""
            except KubeError as error:
                await self._pause(error)

    async def _pause(self, error: KubeError) -> None:
        if self.on_error is not None:
            self.on_error(error)
        backoff = min(0.25 * 2.0 ** min(self._failures, 20), self.longest_backoff)
        self._failures += 1
        if self._failures >= RELIST_AFTER:
            self._version = ""
        await asyncio.sleep(max(backoff, error.retry_after or 0.0) * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    async def _list(self) -> None:
        items: list[Any] = []
        params = {**self._params(), "limit": str(PAGE)}
        decode = decode_partials if self.metadata_only else decode_objects
        while True:
            body = await self._read(params)
            page, version, following = decode(body)
            items += page
            if not following:
                break
            params["continue"] = following
        await self.on_list(items)
        self._version = version
        self._alive()

    async def _read(self, params: Mapping[str, str]) -> bytes:
        accept = ACCEPT_LIST if self.metadata_only else "application/json"
        with _translated(self.session.config):
            async with await self.session.get(
                self.path, params, accept, most=LIST_TIMEOUT, silence=LIST_TIMEOUT
            ) as answer:
                body: bytes = await answer.read()
        self._refuse(answer.status, body)
        return body

    async def _watch(self) -> None:
        seconds = ROUND * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        params = {
            **self._params(),
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(int(seconds)),
        }
        accept = PARTIAL if self.metadata_only else "application/json"
        decode = event_partial if self.metadata_only else event_object
        async for line in self._lines(params, accept, seconds + CONNECT):
            kind, obj, version = decode(line)
            if kind == "ERROR":
                status = obj if isinstance(obj, dict) else {}
                raise from_response(int(status.get("code") or 500), orjson.dumps(status))
            if kind != "BOOKMARK":
                await self.on_event(WatchEvent(kind, obj))
            self._version = version or self._version
            self._alive()

    async def _lines(self, params: Mapping[str, str], accept: str, most: float) -> AsyncIterator[bytes]:
        with _translated(self.session.config):
            answer = await self.session.get(self.path, params, accept, most=most, silence=SILENCE)
        try:
            if answer.status >= 300:
                self._refuse(answer.status, await answer.read())
            self._alive()
            buffer = b""
            while True:
                with _translated(self.session.config):
                    chunk = await answer.content.readany()
                if not chunk:
                    return
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield line
                if len(buffer) > MAX_LINE:
                    raise Unreachable(
                        f"API server {self.session.config.server} sent an event of more than {MAX_LINE} bytes"
                    )
        finally:
            answer.close()

    def _params(self) -> dict[str, str]:
        return {"labelSelector": self.label_selector} if self.label_selector else {}

    def _refuse(self, status: int, body: bytes) -> None:
        if status == 401:
            raise unauthorized(self.session.config, body)
        if status >= 300:
            raise from_response(status, body)

    def _alive(self) -> None:
        self.last_seen = monotonic()
        self._failures = 0


async def watch(
    session: Session,
    path: str,
    *,
    on_list: OnList,
    on_event: OnEvent,
    metadata_only: bool = False,
    label_selector: str = "",
) -> None:
    """Run one watch until cancelled; use `Watch` where `live` matters."""
    await Watch(session, path, on_list, on_event, metadata_only, label_selector).run()


class _translated:
    """Turns what aiohttp and the socket raise into Unreachable."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        import aiohttp

        if isinstance(error, (aiohttp.ClientError, OSError, TimeoutError)):
            raise unreachable(self._config, error) from error
