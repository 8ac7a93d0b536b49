"""What Redis knows of one ref, as seconds from now. Asks only when `FLEETBEAT_REDIS_URL` says where Redis is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.errors import Rebuilding, StateUnavailable
from workers.cli.facts import Queue, Trouble

if TYPE_CHECKING:
    from fleetbeat.state import State


class Queues:
    """A reader of the due-set."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._state: State | None = None
        self.unanswered = False
        """Redis should have been there and was not; nothing more is asked of it."""

    def look(self, ref: Ref) -> tuple[Queue | None, Trouble]:
        """Where a ref stands; None when Redis does not know it or could not be asked."""
        if not self._url or self.unanswered:
            return None, Trouble.NOT_ASKED
        from redis.exceptions import RedisError

        try:
            return self._inspect(ref), Trouble.NONE
        except Rebuilding:
            return None, Trouble.REBUILDING
        except (StateUnavailable, RedisError):
            self.unanswered = True
            return None, Trouble.NOT_ASKED

    def _inspect(self, ref: Ref) -> Queue | None:
        from fleetbeat.state import State

        self._state = self._state or State(self._url)
        seen = self._state.inspect(str(ref))
        if seen is None:
            return None
        due = None if seen.due is None else (seen.due - seen.now) / 1000
        awaits = _awaits(self._state.memos(seen.shard, [str(ref)])[str(ref)])
        return Queue(seen.phase, seen.why, due, dirty=seen.dirty, held=seen.held, awaits=awaits)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._state is not None:
            self._state.close()


def _awaits(raw: bytes | None) -> tuple[str, ...]:
    """The objects that the last run was waiting for, as its memo names them."""
    from fleetbeat.hub.memo import read

    memo = read(raw)
    ids = memo.health.waiting if memo is not None and memo.health is not None else {}
    return tuple(str(ObjectId.from_inventory_id(one)) for one in ids)
