"""What workers log of their tasks: one line each, with the fields by which `flux logs` selects."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress

import pytest
from celery import Celery

from fleetbeat.errors import BuildFailed
from fleetbeat.reconcile.outcome import DROPPED, Outcome
from workers import tasklog
from workers.logs import JsonFormatter

pytestmark = pytest.mark.unit

REF = "Kustomization/team-a/apps"


@pytest.fixture
def app() -> Iterator[Celery]:
    """An application without a broker, whose tasks run here; Celery's own loggers are as before afterwards."""
    loggers = [logging.getLogger(name) for name in ("celery.worker.strategy", "celery.app.trace")]
    levels = [logger.level for logger in loggers]
    tasklog.replace_celerys()
    yield Celery("test", set_as_current=False)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def _lines(app: Celery, caplog: pytest.LogCaptureFixture, end: object, arguments: tuple[object, ...]) -> list[object]:
    def run(*_: object) -> object:
        if isinstance(end, Exception):
            raise end
        return end

    task = app.task(run, name="apply.kustomization", throws=(BuildFailed,))
    with caplog.at_level(logging.INFO):
        task.apply(args=arguments)
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    return [{key: line.get(key) for key in ("level", "controllerKind", "name", "namespace", "msg")} for line in lines]


ABOUT = {"controllerKind": "Kustomization", "name": "apps", "namespace": "team-a"}


@pytest.mark.parametrize(
    ("end", "line"),
    [
        (Outcome("Ready main@sha1:0123456"), {"level": "info", "msg": f"{REF}: Ready main@sha1:0123456 in 0.00s"}),
        (BuildFailed("no such file"), {"level": "error", "msg": f"{REF}: BuildFailed: no such file"}),
    ],
)
def test_a_run_is_told_by_its_ref(
    app: Celery, caplog: pytest.LogCaptureFixture, end: object, line: dict[str, str]
) -> None:
    """Success and expected failure are one line each, about the resource."""
    assert _lines(app, caplog, end, ("apply-0", REF, 7)) == [{**line, **ABOUT}]


def test_a_message_that_came_twice_is_not_told(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing was done, so there is nothing to tell."""
    assert _lines(app, caplog, DROPPED, ("apply-0", REF, 7)) == []


def test_a_sweep_is_told_by_its_task(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    """It is about a cluster, not a resource."""
    (line,) = _lines(app, caplog, "hub: 3 unchanged", ("apply-0", "hub", 7))
    assert line == {
        "level": "info",
        "msg": "apply.kustomization: 'hub: 3 unchanged'",
        "controllerKind": None,
        "name": None,
        "namespace": None,
    }


def test_an_unforeseen_error_keeps_its_traceback(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    """Celery's own line stays where it says more than ours would."""
    with suppress(ZeroDivisionError):
        _lines(app, caplog, ZeroDivisionError("oh"), ("apply-0", REF, 7))
    assert "Traceback" in "".join(json.loads(JsonFormatter().format(r)).get("error", "") for r in caplog.records)
