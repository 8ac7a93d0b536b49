"""The one context of this worker process, made at its first task and therefore after any fork."""

from __future__ import annotations

import atexit
import logging
import threading

from fleetbeat.reconcile.context import Context
from fleetbeat.settings import Settings

log = logging.getLogger(__name__)
_lock = threading.Lock()
_context: Context | None = None


def warm() -> None:
    """Prepare the context in the background, so that a worker takes messages at once."""
    threading.Thread(target=_warm, name="warm", daemon=True).start()


def _warm() -> None:
    try:
        context().warm()
    except Exception:
        log.exception("the worker could not prepare; its first run will say more")


def context() -> Context:
    """This process's context."""
    global _context
    with _lock:
        if _context is None:
            _context = Context(Settings.from_env())
            atexit.register(_context.close)
        return _context
