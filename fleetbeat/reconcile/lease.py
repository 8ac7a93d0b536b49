"""A run's right to write: renewed in the background while the run lives, checked before every write.

One thread per process renews all of its runs in turn, so a worker that dies loses its leases within `LEASE_SECONDS`
and another takes over; a worker that merely hangs finds out at its next `check`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from fleetbeat.errors import LostLease, Rebuilding, StateUnavailable
from fleetbeat.state import State

LEASE_SECONDS = 15.0
RENEW_EVERY = 4.0
MARGIN = 2.0
"""A write that starts in the last two seconds of a lease could arrive after it."""


@dataclass(eq=False)
class Lease:
    """The lease of one live run."""

    state: State
    shard: str
    ref: str
    fence: int
    until: float = field(default_factory=lambda: monotonic() + LEASE_SECONDS)
    lost: bool = False

    def renew(self) -> None:
        """Ask for another `LEASE_SECONDS`; sets `lost` when another run has taken over."""
        asked = monotonic()
        try:
            held = self.state.renew(self.shard, self.ref, self.fence, LEASE_SECONDS)
        except Rebuilding:
            held = False
        if held:
            self.until = asked + LEASE_SECONDS
        else:
            self.lost = True

    def check(self) -> None:
        """Raises LostLease unless this run may still write; renews a lease that has run low."""
        if not self.lost and monotonic() > self.until - MARGIN:
            self.renew()
        if self.lost:
            raise LostLease

    def confirm(self) -> None:
        """`check` against Redis itself, for steps that delete."""
        self.renew()
        self.check()


class Heartbeat:
    """Renews every live lease of this process."""

    def __init__(self) -> None:
        self._leases: set[Lease] = set()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def keep(self, lease: Lease) -> Iterator[Lease]:
        """Keep a lease alive for the length of the block."""
        with self._wake:
            self._leases.add(lease)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)
                self._thread.start()
        try:
            yield lease
        finally:
            with self._wake:
                self._leases.discard(lease)

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait(RENEW_EVERY)
                leases = list(self._leases)
            for lease in leases:
                try:
                    lease.renew()
                except StateUnavailable:
                    continue  # Redis is away: `until` runs out by itself, and `check` stops the run
