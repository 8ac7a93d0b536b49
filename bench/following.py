"""Waiting for many resources at once by one watch, so that a benchmark's own looks cost next to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.watch import WatchEvent, session, watch

LOOK_EVERY = 1.0
"""Seconds between looks whether it is time to give up."""


def follow(
    config: ClusterConfig, path: str, done: Callable[[dict[str, Any]], bool], give_up: Callable[[], None]
) -> list[float]:
    """Until every resource of a collection is done or gone; `give_up` is called now and then, and raises in time.

    Returns when each was, in the order of time, in seconds of `time.monotonic`; what was from the start is left out.
    """
    return asyncio.run(_follow(config, path, done, give_up))


async def _follow(
    config: ClusterConfig, path: str, done: Callable[[dict[str, Any]], bool], give_up: Callable[[], None]
) -> list[float]:
    waiting: set[str] = set()
    ended: dict[str, float] = {}
    over = asyncio.Event()

    async def on_list(items: list[Any]) -> None:
        waiting.clear()
        waiting.update(item["metadata"]["name"] for item in items if not done(item))
        note()

    async def on_event(event: WatchEvent) -> None:
        name = event.object["metadata"]["name"]
        if event.type == "DELETED" or done(event.object):
            waiting.discard(name)
            ended.setdefault(name, monotonic())
        else:
            waiting.add(name)
            ended.pop(name, None)
        note()

    def note() -> None:
        over.clear() if waiting else over.set()

    async with session(config) as http:
        watching = asyncio.create_task(watch(http, path, on_list=on_list, on_event=on_event))
        try:
            while not over.is_set():
                try:
                    await asyncio.wait_for(over.wait(), LOOK_EVERY)
                except TimeoutError:
                    give_up()
        finally:
            watching.cancel()
    return sorted(ended.values())
