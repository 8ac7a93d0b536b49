"""Token buckets that all workers share, so that together they ask no server more than is polite."""

from __future__ import annotations

from collections.abc import Iterable

from fleetbeat.state.server import Server


class Buckets(Server):
    """take, rest."""

    def take(self, name: str, rate: float, burst: int, rests: Iterable[str] = ()) -> float:
        """Take a token of the bucket `name`, which holds `burst` and gains `rate` a second.

        Returns 0 when there was one, else the seconds until there is one again; nothing is reserved then.
        There is none while all of `rests` last, if any are named.
        """
        return int(self.call("take", name, round(1_000_000 / rate), burst, *rests)) / 1000

    def rest(self, name: str, seconds: float) -> None:
        """Begin the rest `name`; one that lasts longer stands."""
        self.call("rest", name, round(seconds * 1000))
