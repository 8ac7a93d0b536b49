"""Coroutines of roles beside a test: each on an event loop in its own thread, cancelled at the end of the block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def running(coroutine: Coroutine[Any, Any, Any]) -> Iterator[None]:
    """Run it until the block ends; what it raised other than its cancellation fails the test."""
    started = threading.Event()
    loop = asyncio.new_event_loop()
    failures: list[BaseException] = []
    task = loop.create_task(coroutine)

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(started.set)
        try:
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        except BaseException as error:
            failures.append(error)
        finally:
            loop.run_until_complete(asyncio.sleep(0.1))  # closed TLS connections say goodbye
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=serve, name="background", daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield
    finally:
        with suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(task.cancel)
        thread.join(30)
    assert not thread.is_alive(), "the coroutine did not end when it was cancelled"
    if failures:
        raise failures[0]
