"""Short-lived logins, kept in memory until shortly before they end.

Owns a bounded cache of logins by whose they are, which a token is no part of. Nothing of it leaves the process.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fleetbeat.sources.credentials import HttpCredentials

KEPT = 1024
"""Of one kind; some kilobytes each."""
MARGIN = 300.0
"""Seconds before its end from which a login is not handed out any more."""

LoginT = TypeVar("LoginT")


@dataclass(frozen=True, slots=True)
class Held(Generic[LoginT]):
    """A login as it is for now."""

    login: LoginT
    ends: float
    """`time.time()` seconds."""


class Tokens(Generic[LoginT]):
    """The logins of one kind. Thread-safe; two threads that need the same one at once may both ask for it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Held[LoginT]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, whose: str, make: Callable[[], Held[LoginT]]) -> LoginT:
        """The login of `whose`; `make` logs in when it is due and may raise."""
        with self._lock:
            found = self._kept.get(whose)
            if found is not None and found.ends - MARGIN > time.time():
                self._kept.move_to_end(whose)
                return found.login
        made = make()
        with self._lock:
            found = self._kept.get(whose)
            if found is not None and found.ends - MARGIN > time.time():
                return found.login  # of who was faster: equal accounts keep one login, by which looks are shared
            self._kept[whose] = made
            self._kept.move_to_end(whose)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made.login

    def forget(self, whose: str) -> None:
        """A login was refused: the next one is made anew."""
        with self._lock:
            self._kept.pop(whose, None)

    def clear(self) -> None:
        """All are made anew."""
        with self._lock:
            self._kept.clear()


TOKENS: Tokens[HttpCredentials] = Tokens()
"""Those of this process for HTTP(S) servers, by their fingerprints."""
