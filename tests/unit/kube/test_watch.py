"""The watch's manners towards an API server, scripted answer by answer: what a real one does too rarely to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from aiohttp import web

from fleetbeat.kube import watch as module
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import KubeError
from fleetbeat.kube.watch import Watch, WatchEvent, session

pytestmark = pytest.mark.unit

Answer = Callable[[web.StreamResponse], Awaitable[None]]


def line(kind: str, name: str, version: str) -> bytes:
    return orjson.dumps({"type": kind, "object": {"metadata": {"name": name, "resourceVersion": version}}}) + b"\n"


def expired() -> bytes:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    return orjson.dumps({"type": "ERROR", "object": status}) + b"\n"


class Script:
    """A server that lists one object and answers each watch with the next chunks, the last one for ever."""

    def __init__(self, *rounds: list[bytes] | int) -> None:
        self.rounds = list(rounds)
        self.asked: list[str] = []
        """`list`, or the resourceVersion that a watch resumed from."""
        self.listed = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            self.asked.append("list")
            self.listed += 1
            version = str(self.listed * 100)
            return web.json_response({"metadata": {"resourceVersion": version}, "items": [{"metadata": {"name": "a"}}]})
        self.asked.append(request.query["resourceVersion"])
        scripted = self.rounds.pop(0) if self.rounds else []
        if isinstance(scripted, int):
            return web.json_response({"kind": "Status", "code": scripted, "message": "no"}, status=scripted)
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in scripted:
            await response.write(chunk)
        if not self.rounds:
            await asyncio.sleep(30)
        return response


def run(script: Script, until: Callable[[list[WatchEvent]], bool], errors: list[KubeError] | None = None) -> Watch:
    """Watch `script` until the events satisfy `until`."""
    events: list[WatchEvent] = []

    async def on_list(items: list[Any]) -> None:
        assert len(items) == 1

    async def on_event(event: WatchEvent) -> None:
        events.append(event)

    async def scenario() -> Watch:
        app = web.Application()
        app.router.add_get("/api/v1/things", script.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with session(ClusterConfig(f"http://{host}:{port}")) as opened:
            watch = Watch(opened, "/api/v1/things", on_list, on_event)
            watch.longest_backoff = 0.01
            watch.on_error = (errors if errors is not None else []).append
            task = asyncio.create_task(watch.run())
            async with asyncio.timeout(10):
                while not until(events):  # noqa: ASYNC110 - events are told by callback
                    await asyncio.sleep(0.01)
            task.cancel()
        await runner.cleanup()
        return watch

    return asyncio.run(scenario())


def test_an_expired_version_lists_again() -> None:
    """A 410 event and a 410 answer lead to a complete list and no error report."""
    errors: list[KubeError] = []
    script = Script([expired()], 410, [line("ADDED", "b", "301")])
    run(script, lambda events: bool(events), errors)
    assert script.asked == ["list", "100", "list", "200", "list", "300"]
    assert not errors


def test_versions_of_events_and_bookmarks_are_resumed_from() -> None:
    """After the end of a request the next one goes on from the newest version seen."""
    script = Script([line("ADDED", "b", "101")], [line("BOOKMARK", "", "150")], [line("ADDED", "c", "151")])
    run(script, lambda events: len(events) == 2)
    assert script.asked == ["list", "100", "101", "150"]


def test_events_may_arrive_in_pieces() -> None:
    """Lines are put together from whatever chunks arrive."""
    whole = line("ADDED", "b", "101") + line("MODIFIED", "b", "102")
    seen: list[str] = []

    def both(events: list[WatchEvent]) -> bool:
        seen[:] = [event.type for event in events]
        return len(events) == 2

    run(Script([whole[:20], whole[20:90], whole[90:]]), both)
    assert seen == ["ADDED", "MODIFIED"]


def test_failures_are_told_and_finally_cause_a_new_list() -> None:
    """A server that keeps failing is asked with pauses, and afterwards nothing is taken for known."""
    errors: list[KubeError] = []
    script = Script(500, 503, 500, [line("ADDED", "b", "201")])
    run(script, lambda events: bool(events), errors)
    assert [error.status for error in errors] == [500, 503, 500]
    assert script.asked == ["list", "100", "100", "100", "list", "200"]


def test_live_needs_a_recent_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch without a list, or silent for long, is not live."""
    watch = run(Script([line("ADDED", "b", "101")]), lambda events: bool(events))
    assert watch.live
    monkeypatch.setattr(module, "LIVE_FOR", -1.0)
    assert not watch.live
