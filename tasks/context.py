"""The one context of this worker process, made at its first task and therefore after any fork."""

from __future__ import annotations

import atexit
import threading

from fleetbeat.reconcile.context import Context
from fleetbeat.settings import Settings

_lock = threading.Lock()
_context: Context | None = None


def context() -> Context:
    """This process's context."""
    global _context
    with _lock:
        if _context is None:
            _context = Context(Settings.from_env())
            atexit.register(_context.close)
        return _context
