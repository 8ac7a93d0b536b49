"""Celery's way to Redis: kombu's own transport, without the new client object that it makes for every command.

Owns nothing but that: a client is a thin wrapper around the channel's pool of connections, and making one costs more
than the command. Whatever else is to be set is an option of the broker, see `app.py`.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


class Channel(redis.Channel):
    """A channel with one client for as long as its pool lives."""

    _shared: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        """A client over the pool; those that listen (`asynchronous`) have one of their own anyway."""
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
        if self._shared is None or self._shared.connection_pool is not self.pool:
            self._shared = super()._create_client()  # type: ignore[no-untyped-call]
        return self._shared


class Transport(redis.Transport):
    """What `redis://` and `rediss://` mean to every Celery program."""

    Channel = Channel


def install() -> None:
    """Make it the transport of both schemes in this process."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__name__}"))
