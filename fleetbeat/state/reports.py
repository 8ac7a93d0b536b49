"""What the hub has to be told: statuses that changed and events that happened.

The reporter takes changed refs, writes each one's latest status and clears the mark only if nothing newer came, so a
crash in between only repeats. Events are a capped stream, read by position.
"""

from __future__ import annotations

from collections.abc import Iterable

from fleetbeat.state.records import Changed, StoredEvent
from fleetbeat.state.server import Server, text

_NUDGE = "fb:report"
_POSITIONS = "fb:positions"


class Reports(Server):
    """changed, ack, events_after."""

    def changed(self, limit: int = 100, block_ms: int = 0, *, after: int = 0) -> list[Changed]:
        """Statuses that the hub does not have, oldest first, with a seq greater than `after`.

        Waits up to `block_ms` for one when there is none; new events end the wait as well.
        """
        found = self._changed(limit, after)
        if not found and block_ms and self.block(_NUDGE, block_ms / 1000):
            found = self._changed(limit, after)
        return found

    def _changed(self, limit: int, after: int) -> list[Changed]:
        return [
            Changed(text(shard), text(ref), int(seq), text(uid), status)
            for shard, ref, seq, uid, status in self.call("changed", limit, after)
        ]

    def ack(self, written: Iterable[tuple[str, str, int]]) -> int:
        """Clear the mark of each (shard, ref, seq) unless it changed again; returns how many were cleared."""
        fields = [field for shard, ref, seq in written for field in (f"{shard} {ref}", seq)]
        return int(self.call("ack", *fields)) if fields else 0

    def events_after(self, position: str = "0", limit: int = 500) -> list[StoredEvent]:
        """Events after a position, oldest first; "0" is the beginning. Answers while rebuilding too."""
        rows = self.command("XRANGE", "fb:events", f"({position}" if position != "0" else "-", "+", "COUNT", limit)
        return [StoredEvent(text(entry), fields[b"e"]) for entry, fields in rows]

    def emit(self, events: Iterable[bytes]) -> None:
        """Add events that belong to no run."""
        self.call("emit", *events)

    def position(self, consumer: str) -> str:
        """How far a consumer of events has come."""
        found = self.command("HGET", _POSITIONS, consumer)
        return "0" if found is None else text(found)

    def advance(self, consumer: str, position: str) -> None:
        """Remember how far a consumer of events has come."""
        self.command("HSET", _POSITIONS, consumer, position)
