"""Beats over a test's Redis, in this process and in processes of their own, and a worker that only counts."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from celery import Celery

from beat.scheduler import FleetScheduler

PREFIX = "fb:celery:"
ROUTES = {"Kustomization": "apply.kustomization", "GitRepository": "source.git.fetch"}


def make_app(redis_url: str, *, broker: str = "", **settings: Any) -> Celery:
    """An application with what beat needs and nothing more; its messages go to `broker`, else to the same Redis."""
    app = Celery("test", broker=broker or redis_url)
    app.conf.update(
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"global_keyprefix": PREFIX, "priority_steps": [0], "socket_timeout": 5},
        fleetbeat_redis_url=redis_url,
        fleetbeat_routes=ROUTES,
        fleetbeat_sweeps={"apply": "apply.sweep", "source": "source.sweep"},
        **settings,
    )
    return app


@contextmanager
def scheduler(redis_url: str, **settings: Any) -> Iterator[FleetScheduler]:
    """A scheduler in this process; the caller ticks."""
    made = FleetScheduler(make_app(redis_url, **settings))
    yield made
    made.close()


def start_beat(redis_url: str) -> subprocess.Popen[bytes]:
    """A beat in a process of its own; the caller kills it."""
    code = "import sys; from tests.support.beats import tick_forever; tick_forever(sys.argv[1])"
    return subprocess.Popen([sys.executable, "-c", code, redis_url])


def tick_forever(redis_url: str) -> None:
    """What celery's beat service does."""
    made = FleetScheduler(make_app(redis_url))
    while True:
        time.sleep(made.tick())


class Consumer:
    """Takes messages from the queues as Celery's workers do, without Celery."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def take(self, *shards: str, timeout: float = 1.0) -> dict[str, Any] | None:
        """The next message of the shards' queues: its headers, and `args`."""
        found: Any = self._client.brpop([PREFIX + shard for shard in shards], timeout=timeout)
        if found is None:
            return None
        message = json.loads(found[1])
        headers: dict[str, Any] = message["headers"]
        return headers | {"args": json.loads(base64.b64decode(message["body"]))[0]}

    def waiting(self, shard: str) -> int:
        """Messages in a queue."""
        return int(self._client.llen(PREFIX + shard))
