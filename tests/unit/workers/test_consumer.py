"""Events for Flower leave a worker in batches, and none is lost."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker

from fleetbeat.settings import Settings
from tests.support.wait import until
from workers.app import make_app

pytestmark = pytest.mark.unit

TASKS = 60


def noop() -> None:
    """A task's work."""


def published(url: str) -> int:
    """How many messages were published in this Redis so far."""
    with redis.Redis.from_url(url) as client:
        stats: dict[str, Any] = client.info("commandstats")
        return int(stats.get("cmdstat_publish", {"calls": 0})["calls"])


def listen(app: Celery, seen: Counter[str], ready: threading.Event, done: threading.Event) -> None:
    """Count events by type until done, as Flower does."""
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": lambda event: seen.update([event["type"]])})
        with receiver.consumer_context() as (listening, *_):
            ready.set()
            while not done.is_set():
                try:
                    listening.drain_events(timeout=0.1)
                except TimeoutError:
                    pass


def test_events_are_told_in_batches(redis_url: str) -> None:
    """Every task is seen to be received, begun and done, with far fewer messages than events."""
    app = make_app(Settings(redis_url=redis_url))
    app.set_current()
    task = app.task(noop, name="test.noop")
    seen: Counter[str] = Counter()
    ready, done = threading.Event(), threading.Event()
    listener = threading.Thread(target=listen, args=(app, seen, ready, done))
    listener.start()
    try:
        assert ready.wait(10)
        with start_worker(app, pool="threads", concurrency=2, perform_ping_check=False, loglevel="ERROR"):
            before = published(redis_url)
            for _ in range(TASKS):
                task.delay()
            until(lambda: seen["task-succeeded"] == TASKS, message="all tasks were seen to succeed")
            told = published(redis_url) - before
        assert (seen["task-received"], seen["task-started"]) == (TASKS, TASKS)
        assert told < TASKS
    finally:
        done.set()
        listener.join()
        app.close()
