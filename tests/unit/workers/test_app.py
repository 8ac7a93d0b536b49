"""What the Celery application says of itself."""

from __future__ import annotations

import pytest

from fleetbeat.state.shards import ALL
from workers.app import app

pytestmark = pytest.mark.unit


def test_every_queue_is_named() -> None:
    """Flower shows the length of those that are: remote control is off, so no worker tells it which there are."""
    assert sorted(queue.name for queue in app.conf.task_queues) == sorted(ALL)
    assert {queue.name: app.amqp.queues[queue.name].routing_key for queue in app.conf.task_queues} == {
        name: name for name in ALL
    }
