"""One log line for each task that ended, in place of the two that Celery writes.

Owns what workers tell of their tasks: whom a run was about and how it ended. A run's message names its ref as an
argument, from which the JSON form takes the fields that `flux logs` selects by. Unforeseen errors keep Celery's own
line, with the traceback.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery import signals

from fleetbeat.api.refs import Ref
from fleetbeat.errors import FleetbeatError
from fleetbeat.reconcile.outcome import DROPPED

log = logging.getLogger("fleetbeat.task")
_CELERYS = ("celery.worker.strategy", "celery.app.trace")
"""Who writes `Task … received` and `Task … succeeded` (or raised what was expected), all at INFO."""


def replace_celerys() -> None:
    """Let these lines be the only ones; handlers may be connected again, Celery keeps one of each."""
    for name in _CELERYS:
        logging.getLogger(name).setLevel(logging.WARNING)
    signals.task_success.connect(_succeeded, weak=False)
    signals.task_failure.connect(_failed, weak=False)


def _succeeded(sender: Any = None, result: object = None, **_: object) -> None:
    level = logging.DEBUG if result is DROPPED else logging.INFO
    log.log(level, "%s: %r", _subject(sender), result)


def _failed(sender: Any = None, exception: BaseException | None = None, **_: object) -> None:
    if isinstance(exception, FleetbeatError):
        log.error("%s: %s: %s", _subject(sender), exception.reason, exception.message)


def _subject(task: Any) -> Ref | str:
    """The ref of a run, else the task's name: sweeps say in their result what they were about."""
    arguments: Sequence[Any] = task.request.args or ()
    try:
        return Ref.parse(arguments[1])
    except (IndexError, ValueError, AttributeError):
        return str(task.name)
