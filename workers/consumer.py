"""A worker's consumer that tells Flower what happened several times a second instead of event by event.

Owns nothing but that: with an event published at each step of each task, telling cost a quarter of a worker's main
thread. Whatever is buffered when the worker ends is told before the connection closes.
"""

from __future__ import annotations

from typing import Any

from celery.worker import consumer
from vine import promise

COLLECT = 0.2
"""Seconds for which events are collected."""


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Celery's consumer, with its events in batches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._collecting = False
        self._collect = promise(self._flush_later)

    def on_send_event_buffered(self) -> None:
        """Celery's hook; called by pool threads too, so the timer is left to the event loop."""
        if self.hub and not self._collecting:
            self._collecting = True
            self.hub.call_soon(self._collect)

    def _flush_later(self) -> None:
        self.hub.call_later(COLLECT, self._flush_collected)

    def _flush_collected(self) -> None:
        self._collecting = False
        self._flush_events()

    def shutdown(self) -> None:
        """Celery's end of work."""
        self._flush_events()
        super().shutdown()
