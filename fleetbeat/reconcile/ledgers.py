"""Ledgers as runs of this process last saved them, so that the next run need not read what it is about to save.

Only a guess: whoever takes one saves it before anything else is written, and that save is refused when the ledger on
the cluster is another one by then. Never the word on which something is deleted or left alone.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from fleetbeat.api.refs import Ref
from fleetbeat.kube.ledger import Ledger

MOST_ENTRIES = 20_000
"""Objects in all ledgers that are kept, about 700 bytes each; the least recently used go."""


class Ledgers:
    """By cluster and resource. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, Ref], Ledger] = OrderedDict()
        self._entries = 0

    def keep(self, cluster: str, ledger: Ledger) -> None:
        """As it was saved just now."""
        with self._lock:
            self._drop((cluster, ledger.ref))
            self._kept[cluster, ledger.ref] = ledger
            self._entries += len(ledger.entries) + 1
            while self._entries > MOST_ENTRIES:
                self._drop(next(iter(self._kept)))

    def take(self, cluster: str, ref: Ref) -> Ledger | None:
        """The ledger, which is forgotten: a run that fails with it leaves the next one to read it."""
        with self._lock:
            return self._drop((cluster, ref))

    def _drop(self, key: tuple[str, Ref]) -> Ledger | None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._entries -= len(found.entries) + 1
        return found
