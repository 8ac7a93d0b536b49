"""Puts our finalizer on resources before anything is done for them, so that none goes away without its clean-up.

In the background: the watch goes on meanwhile, and its event about the patched object is what registers it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fleetbeat.api.kinds import Kind
from fleetbeat.kube.client import JSON_PATCH, PARTIAL, KubeClient
from fleetbeat.kube.errors import Conflict, KubeError, NotFound

log = logging.getLogger(__name__)

AT_ONCE = 8
PAUSES = (0.5, 5.0)
"""Seconds before a failed patch is tried again: the first pause, doubled up to the last."""


class Finalizers:
    """One task per resource that lacks its finalizer."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="finalizers")

    def add(self, kind: Kind, ref: str, obj: Mapping[str, Any]) -> None:
        """Patch `obj` as it was seen; what was begun for an earlier sight of it is dropped."""
        self.drop(ref)
        task = asyncio.get_running_loop().create_task(self._add(kind, ref, obj))
        self._tasks[ref] = task
        task.add_done_callback(lambda done: self._ended(ref, done))

    def drop(self, ref: str) -> None:
        """The resource has its finalizer, is gone, or was seen anew."""
        task = self._tasks.pop(ref, None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """Stop everything."""
        for ref in list(self._tasks):
            self.drop(ref)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self, ref: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(ref) is task:
            del self._tasks[ref]
        if not task.cancelled() and task.exception() is not None:
            log.error("%s: its finalizer could not be added", ref, exc_info=task.exception())

    async def _add(self, kind: Kind, ref: str, obj: Mapping[str, Any]) -> None:
        """A refusal because the object moved on needs no care: the event about that replaces this task."""
        pause, last = PAUSES
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(self._threads, self._patch, kind, obj)
                return
            except NotFound:
                return
            except KubeError as error:
                if not isinstance(error, Conflict):
                    log.warning("%s: its finalizer is tried again in %.1fs: %s", ref, pause, error.message)
            await asyncio.sleep(pause)
            pause = min(pause * 2, last)

    def _patch(self, kind: Kind, obj: Mapping[str, Any]) -> None:
        meta = obj["metadata"]
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {"op": "add", "path": "/metadata/finalizers", "value": [*(meta.get("finalizers") or ()), kind.finalizer]},
        ]
        path = kind.path(meta["namespace"], meta["name"])
        self._client.patch(path, patch, JSON_PATCH, {"fieldManager": f"gotk-{kind.controller}"}, PARTIAL)
