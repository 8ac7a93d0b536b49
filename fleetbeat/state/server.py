"""The connection to Redis and the one way to call a verb.

Every socket has timeouts. Connections are made on first use and per thread or process as needed, so an instance may be
made before a fork and used from any thread; asyncio users go through `asyncio.to_thread`.
"""

from __future__ import annotations

from typing import Any, NoReturn

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from fleetbeat.errors import LostLease, Rebuilding, StateUnavailable
from fleetbeat.state import library

SOCKET_TIMEOUT = 10.0
LONGEST_BLOCK = 5.0
"""Seconds that a blocking read waits at most; less than the socket's timeout, so that a dead peer is noticed."""

_AWAY = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ReadOnlyError)


class Server:
    """A Redis server that speaks the verbs."""

    def __init__(self, redis_url: str) -> None:
        """Does not connect yet. `redis_url` may hold a password; it is never logged."""
        self._redis: redis.Redis = redis.Redis.from_url(
            redis_url,
            socket_timeout=SOCKET_TIMEOUT,
            socket_connect_timeout=5,
            socket_keepalive=True,
            health_check_interval=10,
            protocol=2,
            # one more try covers a connection that the server closed while it idled; more would only delay the error
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), 1),
        )

    def call(self, verb: str, *args: bytes | str | int) -> Any:
        """Call one verb. Raises Rebuilding, LostLease, or StateUnavailable when Redis cannot be reached."""
        return self._guard(self._fcall, f"fb_{verb}", *args)

    def command(self, *args: bytes | str | int | float) -> Any:
        """Send one plain command; raises StateUnavailable."""
        return self._guard(self._redis.execute_command, *args)

    def block(self, key: str, seconds: float) -> bool:
        """Wait up to `seconds` for a nudge through the list `key`; True when one came."""
        timeout = max(0.001, min(seconds, LONGEST_BLOCK))
        return self.command("BLPOP", key, timeout) is not None

    def ensure_loaded(self) -> None:
        """Load the Function library unless this version is there; calls do so by themselves when it is missing."""
        self._guard(library.ensure_loaded, self._redis)

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()

    def _fcall(self, function: str, *args: bytes | str | int) -> Any:
        try:
            return self._redis.fcall(function, 0, *args)
        except redis.ResponseError as error:
            if not library.is_missing(error):
                raise
        library.ensure_loaded(self._redis)
        return self._redis.fcall(function, 0, *args)

    @staticmethod
    def _guard(what: Any, *args: Any) -> Any:
        try:
            return what(*args)
        except _AWAY as error:
            raise StateUnavailable(f"Redis cannot be reached: {type(error).__name__}") from error
        except redis.ResponseError as error:
            _translate(error)


def _translate(error: redis.ResponseError) -> NoReturn:
    text = str(error)
    if text.startswith("REBUILDING"):
        raise Rebuilding from error
    if text.startswith("LOSTLEASE"):
        raise LostLease(text.removeprefix("LOSTLEASE ")) from error
    raise error


def text(value: bytes | str) -> str:
    """A reply as text."""
    return value.decode() if isinstance(value, bytes) else value
