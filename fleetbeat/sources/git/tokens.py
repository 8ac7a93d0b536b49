"""Short-lived logins, kept in memory until shortly before they end.

Owns a bounded cache of accounts by their fingerprint, which a token is no part of. Nothing of it leaves the process.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from fleetbeat.sources.credentials import HttpCredentials

KEPT = 256
MARGIN = 300.0
"""Seconds before its end from which a login is not handed out any more."""


class Login(NamedTuple):
    """An account with the login that it has for now."""

    account: HttpCredentials
    ends: float
    """`time.time()` seconds."""


class Tokens:
    """The logins of one kind. Thread-safe; two threads that need the same one at once may both ask for it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Login] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, fingerprint: str, make: Callable[[], Login]) -> HttpCredentials:
        """The account with that fingerprint, logged in; `make` does that when it is due and may raise."""
        with self._lock:
            found = self._kept.get(fingerprint)
            if found is not None and found.ends - MARGIN > time.time():
                self._kept.move_to_end(fingerprint)
                return found.account
        made = make()
        with self._lock:
            self._kept[fingerprint] = made
            self._kept.move_to_end(fingerprint)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made.account

    def forget(self, fingerprint: str) -> None:
        """A login was refused: the next one is made anew."""
        with self._lock:
            self._kept.pop(fingerprint, None)


TOKENS = Tokens()
"""Those of this process."""
