"""The Celery application: broker, queues and the settings that keep a worker honest.

Owns every Celery setting, each with its reason; holds no task and no domain logic.
"""

from __future__ import annotations

import gc
import logging

from celery import Celery, signals
from kombu.entity import Exchange, Queue

from beat.scheduler import FleetScheduler
from fleetbeat.settings import Settings
from fleetbeat.state.shards import SOURCE
from tasks.routes import ROUTES, SWEEPS
from workers import consumer, tasklog, transport
from workers.logs import configure
from workers.queues import QUEUES

BROKER_PREFIX = "fb:celery:"


def make_app(settings: Settings) -> Celery:
    """The application of one process."""
    transport.install()
    app = Celery("fleetbeat", broker=settings.redis_url)
    app.conf.update(
        task_ignore_result=True,  # the outcome goes to the registry; Flower reads events
        task_acks_late=False,  # a lost message heals by its lease: one mechanism
        task_serializer="json",
        accept_content=["json"],
        task_create_missing_queues=True,
        task_queues=[_queue(name) for names in QUEUES.values() for name in names],  # Flower shows those it knows
        task_default_queue=SOURCE,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,  # a message waits where any worker can take it
        worker_send_task_events=True,  # Flower
        task_send_sent_event=False,
        worker_consumer=f"{consumer.__name__}:{consumer.Consumer.__name__}",  # events in batches
        worker_enable_remote_control=False,  # nobody who reaches Redis may shut workers down
        worker_cancel_long_running_tasks_on_connection_loss=False,  # runs are fenced, let them finish
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "global_keyprefix": BROKER_PREFIX,
            "ack_emulation": False,  # as above: nobody restores a message, so nobody keeps a copy of it
            "priority_steps": [0],  # one list per queue: urgency is decided before a message is sent
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        beat_scheduler=FleetScheduler,
        fleetbeat_redis_url=settings.redis_url,
        fleetbeat_routes=ROUTES,
        fleetbeat_sweeps=SWEEPS,
    )
    return app


def _queue(name: str) -> Queue:
    """As Celery makes those that it was not told of."""
    return Queue(name, Exchange(name), name)  # type: ignore[no-untyped-call]


@signals.setup_logging.connect
def _logging(loglevel: str | int = "INFO", **_: object) -> None:
    """Celery's programs log like every other role."""
    configure(logging.getLevelName(loglevel) if isinstance(loglevel, int) else loglevel)
    tasklog.replace_celerys()


@signals.worker_init.connect
def _share_memory(**_: object) -> None:
    """Everything loaded by now stays shared with forked children: the collector no longer touches it."""
    gc.collect()
    gc.freeze()


app = make_app(Settings.from_env())
"""What `celery -A workers.app` and Flower find."""
