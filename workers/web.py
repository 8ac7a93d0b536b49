"""The web role: webhooks in (`/hook/…`), artifacts out (`/artifacts/…`), and probes.

Owns HTTP only: codes, limits, streaming. Whom a webhook means is `fleetbeat.hub.doorbell`'s, what an artifact is
the store's. A webhook is answered as soon as it is believed; resources are woken after that. Their paths are never
logged in full, because the path is the only secret of a generic Receiver.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, stream_request_body

from fleetbeat.artifacts.settings import StoreSettings
from fleetbeat.artifacts.store import LATEST, ArtifactStore, Stored
from fleetbeat.errors import FleetbeatError, Rebuilding, StateUnavailable
from fleetbeat.hub.doorbell import Doorbell, NotListening, Receiver, UnknownPath
from fleetbeat.hub.stablelinks import current
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import KubeError
from fleetbeat.notify.delivery import MAX_BODY, Delivery, WebhookRefused
from fleetbeat.reconcile.context import hub_config
from fleetbeat.settings import Settings
from fleetbeat.state import State

log = logging.getLogger(__name__)

THREADS = 16
IDLE_SECONDS = 30.0
"""For which a client may be silent."""
RING_FOR = 60.0
"""Seconds for which a believed webhook is kept while Redis is away; a rebuilt registry runs everything anyway."""
RING_PAUSE = 0.5
PRESIGNED_SECONDS = 60
HUB_SECONDS = 5.0

T = TypeVar("T")


@dataclass(eq=False)
class Service:
    """What the handlers share."""

    state: State
    doorbell: Doorbell
    store: ArtifactStore
    redirect: bool = False
    """True: artifacts are answered with a redirect to S3."""
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="web"))
    ringing: set[asyncio.Task[None]] = field(default_factory=set)

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """Run something that blocks."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, *args)

    def ring(self, receiver: Receiver, delivery: Delivery) -> None:
        """Wake what the delivery means, in the background."""
        task = asyncio.get_running_loop().create_task(self._ring(receiver, delivery))
        self.ringing.add(task)
        task.add_done_callback(self.ringing.discard)

    async def _ring(self, receiver: Receiver, delivery: Delivery) -> None:
        until = monotonic() + RING_FOR
        while True:
            try:
                await self.call(self.doorbell.ring, receiver, delivery)
                return
            except (Rebuilding, StateUnavailable) as error:
                if monotonic() > until:
                    log.error("%s: a webhook is dropped: %s", receiver.ref, error.message)
                    return
            except FleetbeatError as error:
                log.warning("%s: a webhook wakes nobody: %s", receiver.ref, error.message)
                return
            await asyncio.sleep(RING_PAUSE)


class Handler(RequestHandler):
    """Plain-text answers, no server banner."""

    def initialize(self, service: Service) -> None:
        """Called by tornado for every request."""
        self.service = service

    def set_default_headers(self) -> None:
        """Nothing about what runs here."""
        self.clear_header("Server")
        self.set_header("Content-Type", "text/plain; charset=utf-8")

    def answer(self, status: int, message: str, retry_after: int = 0) -> None:
        """End the request with one line."""
        self.set_status(status)
        if retry_after:
            self.set_header("Retry-After", str(retry_after))
        self.finish(message + "\n")

    def write_error(self, status_code: int, **kwargs: object) -> None:
        """Without tornado's HTML."""
        self.finish(f"{status_code}\n")


@stream_request_body
class Hook(Handler):
    """`POST /hook/<sha256>`."""

    def prepare(self) -> None:
        """Refuse a large body before it is read."""
        self.body = bytearray()
        length = self.request.headers.get("Content-Length", "")
        if self.request.method == "POST" and length.isdecimal() and int(length) > MAX_BODY:
            self._too_large()

    def data_received(self, chunk: bytes) -> None:
        """Collect the body up to its limit; a chunked one has no length to go by."""
        if len(self.body) <= MAX_BODY:
            self.body += chunk

    async def post(self) -> None:
        """Verify, answer, then wake."""
        if len(self.body) > MAX_BODY:
            self._too_large()
            return
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        delivery = Delivery(headers, bytes(self.body))
        try:
            receiver = await self.service.call(self.service.doorbell.admit, self.request.path, delivery)
        except UnknownPath:
            self.answer(404, "no Receiver listens here")
        except WebhookRefused as error:
            self.answer(400, error.message)
        except NotListening as error:
            self.answer(503, error.message)
        except (Rebuilding, StateUnavailable, KubeError) as error:
            log.warning("a webhook cannot be handled now: %s", error.message)
            self.answer(503, "not now, try again", retry_after=5)
        except FleetbeatError as error:
            self.answer(400, error.message)
        else:
            self.answer(200, "accepted")
            self.service.ring(receiver, delivery)

    def _too_large(self) -> None:
        self.set_header("Connection", "close")
        self.answer(413, f"the body is larger than {MAX_BODY} bytes")


class Artifact(Handler):
    """`GET /artifacts/<kind>/<namespace>/<name>/<file>`: the URL in `status.artifact`."""

    async def head(self, path: str) -> None:
        """As GET, without the bytes."""
        await self._serve(path, with_body=False)

    async def get(self, path: str) -> None:
        """The archive, or where it is."""
        await self._serve(path, with_body=True)

    async def _serve(self, path: str, *, with_body: bool) -> None:
        try:
            stored = await self._find(path)
            if stored is None:
                self.answer(404, "no such artifact")
            elif self.service.redirect:
                self.redirect(await self.service.call(self.service.store.presign, stored.key, PRESIGNED_SECONDS))
            else:
                await self._send(stored, with_body=with_body)
        except FleetbeatError as error:
            log.warning("artifact %s: %s", path, error.message)
            if not self._headers_written:
                self.answer(503, "the artifact store cannot be read now", retry_after=5)
            else:
                self.detach().close()

    async def _find(self, path: str) -> Stored | None:
        if any(part in (".", "..") for part in path.split("/")):
            return None
        found = await self.service.call(current, self.service.state, path) if path.endswith(LATEST) else None
        return found or await self.service.call(self.service.store.find, path)

    async def _send(self, stored: Stored, *, with_body: bool) -> None:
        self.set_header("Content-Type", "application/gzip")
        self.set_header("Content-Length", str(stored.size))
        self.set_header("ETag", f'"{stored.digest}"')
        if not with_body:
            self.finish()
            return
        chunks = self.service.store.stream(stored.key)
        while (chunk := await self.service.call(_next, chunks)) is not None:
            self.write(chunk)
            await self.flush()
        self.finish()


class Health(Handler):
    """`GET /healthz`: the process answers."""

    def get(self) -> None:
        """Always well."""
        self.answer(200, "ok")


class Ready(Handler):
    """`GET /readyz`: webhooks can be handled."""

    async def get(self) -> None:
        """Not while Redis is away or the registry is being rebuilt."""
        try:
            rebuilding = await self.service.call(self.service.state.rebuilding)
        except FleetbeatError as error:
            self.answer(503, error.message)
            return
        self.answer(503 if rebuilding else 200, "the registry is being rebuilt" if rebuilding else "ok")


def application(service: Service) -> Application:
    """The routes."""
    shared = {"service": service}
    return Application(
        [
            (r"/hook/[0-9a-f]{64}", Hook, shared),
            (r"/artifacts/([a-z]+/[a-z0-9.-]+/[a-z0-9.-]+/[A-Za-z0-9._+:%-]+)", Artifact, shared),
            (r"/healthz", Health, shared),
            (r"/readyz", Ready, shared),
        ],
        default_handler_class=Missing,
        default_handler_args=shared,
        log_function=_log_request,
    )


class Missing(Handler):
    """Everything else."""

    def prepare(self) -> None:
        """404, whatever the method."""
        self.answer(404, "not found")


async def run(settings: Settings) -> None:
    """Serve until cancelled."""
    state, hub = State(settings.redis_url), KubeClient(hub_config(settings), timeout=HUB_SECONDS)
    service = Service(
        state,
        Doorbell(state, hub, cross_namespace=not settings.no_cross_namespace_refs),
        ArtifactStore(StoreSettings.from_env()),
        os.environ.get("FLEETBEAT_ARTIFACT_REDIRECT", "").lower() in ("1", "true"),
    )
    server, port = listen(service, settings.web_host, settings.web_port)
    log.info("web: listening on %s:%d", settings.web_host, port)
    try:
        await asyncio.Event().wait()
    finally:
        await close(server, service)
        hub.close()
        state.close()


def listen(service: Service, host: str, port: int) -> tuple[HTTPServer, int]:
    """Start serving on this event loop; port 0 chooses one, which is returned."""
    server = HTTPServer(
        application(service),
        max_body_size=MAX_BODY + 1,
        idle_connection_timeout=IDLE_SECONDS,
        body_timeout=IDLE_SECONDS,
    )
    sockets = bind_sockets(port, host)
    server.add_sockets(sockets)
    return server, int(sockets[0].getsockname()[1])


async def close(server: HTTPServer, service: Service) -> None:
    """Stop listening, let what was accepted finish for a moment, end."""
    server.stop()
    if service.ringing:
        await asyncio.wait(service.ringing, timeout=5.0)
    for task in list(service.ringing):
        task.cancel()
    await server.close_all_connections()
    service.threads.shutdown(wait=False, cancel_futures=True)


def _next(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)


def _log_request(handler: RequestHandler) -> None:
    request = handler.request
    path = request.path if not request.path.startswith("/hook/") else f"{request.path[:14]}…"
    level = logging.WARNING if handler.get_status() >= 500 else logging.DEBUG
    log.log(level, "%d %s %s %.0f ms", handler.get_status(), request.method, path, 1000 * request.request_time())
