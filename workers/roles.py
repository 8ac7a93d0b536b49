"""Every process that Fleetbeat starts, by name. Celery's own programs replace this process; the loops run in it.

Owns the command line of each role. Settings come from the environment (fleetbeat/settings.py), so that a role looks the
same in a container, in compose and under `fleetbeat up`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from fleetbeat.artifacts.settings import StoreSettings
from fleetbeat.settings import Settings
from fleetbeat.state import State
from workers.logs import configure

ROLES = ("hub", "beat", "source", "apply", "observer", "web", "flower")
"""In the order in which a stack is started."""


def run(role: str) -> None:
    """Be `role` until a signal ends it; raises ValueError on an unknown name."""
    settings = Settings.from_env()
    if role in _CELERY:
        command = [sys.executable, "-m", "celery", "-q", "-A", "workers.app", *_CELERY[role](settings)]
        os.execv(sys.executable, command)  # noqa: S606 - our own interpreter, no shell
    if role not in _LOOPS:
        raise ValueError(f"unknown role {role!r}: choose one of {', '.join(ROLES)}")
    configure(settings.log_level)
    asyncio.run(_until_signalled(_LOOPS[role](settings)))


def _worker(role: str, pool: str, concurrency: int, settings: Settings) -> list[str]:
    from workers.queues import QUEUES, TASKS

    name = os.environ.get("FLEETBEAT_NAME") or role  # two of a role on one host must differ
    arguments = ["worker", "-n", f"{name}@%h", "-Q", ",".join(QUEUES[role]), "-I", ",".join(TASKS[role])]
    arguments += ["-P", pool, "-c", str(concurrency)]
    return [
        *arguments,
        "-E",
        "--without-mingle",
        "--without-gossip",
        "--heartbeat-interval",
        "30",
        "-l",
        settings.log_level,
    ]


def _source(settings: Settings) -> list[str]:
    """Processes: Git work is CPU-bound, and a stuck fetch can be killed."""
    return _worker("source", "prefork", settings.source_concurrency, settings)


def _apply(settings: Settings) -> list[str]:
    """Threads: API servers are waited for, connections and discovery are shared."""
    return _worker("apply", "threads", settings.apply_concurrency, settings)


def _beat(settings: Settings) -> list[str]:
    return ["beat", "-S", "beat.scheduler:FleetScheduler", "-s", os.devnull, "--pidfile=", "-l", settings.log_level]


def _flower(settings: Settings) -> list[str]:
    if settings.flower_auth:
        os.environ["FLOWER_BASIC_AUTH"] = settings.flower_auth  # not on the command line, where `ps` shows it
    return [
        "flower",
        f"--port={settings.flower_port}",
        *([] if settings.flower_auth else ["--address=127.0.0.1"]),
        "--enable-events=False",  # workers send them anyway, and remote control is off
        "--max-tasks=20000",
        "--purge-offline-workers=60",
        "--natural-time=True",
        "--tasks-columns=name,args,kwargs,state,result,runtime,received,worker,exception",
    ]


_CELERY: dict[str, Callable[[Settings], list[str]]] = {
    "beat": _beat,
    "source": _source,
    "apply": _apply,
    "flower": _flower,
}


async def _hub(settings: Settings) -> None:
    from fleetbeat.hub import registrar, reporter
    from fleetbeat.reconcile.context import hub_config

    config, state = hub_config(settings), State(settings.redis_url)
    await asyncio.gather(
        registrar.run(config, state, settings.owned_kinds, StoreSettings.from_env().prefix),
        reporter.run(config, state, settings.owned_kinds),
    )


async def _observer(settings: Settings) -> None:
    from fleetbeat.hub import observer
    from fleetbeat.reconcile.context import hub_config

    account = settings.default_kubeconfig_service_account
    await observer.run(hub_config(settings), State(settings.redis_url), account)


async def _web(settings: Settings) -> None:
    from workers import web

    await web.run(settings)


_LOOPS: dict[str, Callable[[Settings], Coroutine[Any, Any, None]]] = {"hub": _hub, "observer": _observer, "web": _web}


async def _until_signalled(loop: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return
