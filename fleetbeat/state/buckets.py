"""Token buckets that all workers share, so that together they ask no server more than is polite."""

from __future__ import annotations

from fleetbeat.state.server import Server


class Buckets(Server):
    """take, rest."""

    def take(self, name: str, rate: float, burst: int) -> float:
        """Take a token of the bucket `name`, which holds `burst` and gains `rate` a second.

        Returns 0 when there was one, else the seconds until there is one again; nothing is reserved then.
        While the bucket rests there is none.
        """
        return int(self.call("take", name, round(1_000_000 / rate), burst)) / 1000

    def rest(self, name: str, seconds: float) -> None:
        """Nobody takes a token of the bucket `name` before these seconds are over; a longer rest stands."""
        self.call("rest", name, round(seconds * 1000))
