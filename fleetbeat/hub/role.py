"""Holds a role: one process of all does the work, the others stand by, and who lost the lease stops before it ends.

Owns acquiring, renewing and giving up; what is done while the role is held is the caller's coroutine.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic

from fleetbeat.errors import FleetbeatError, Rebuilding, StateUnavailable
from fleetbeat.state import State

log = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
RENEW_EVERY = 1.0
"""Seconds between renewals; also how fast a wiped Redis is noticed."""
STAND_BY = 1.0
"""Seconds between two looks at a role that another process holds."""
MARGIN = 4.0
"""Seconds before the lease's end from which nothing new is begun."""
HUB_PAUSE = 3.0
"""Seconds after which a hub that does not answer is asked again at the latest: everybody waits for it."""
PAUSES = (0.2, 5.0)
"""Seconds after a failed tenure: the first pause, doubled up to the last."""


@dataclass(eq=False)
class Tenure:
    """A role that is held now."""

    fence: int
    until: float = field(default_factory=lambda: monotonic() + LEASE_SECONDS)
    """Monotonic time at which the lease ends unless renewed."""

    @property
    def safe(self) -> bool:
        """Whether there is time enough to begin something."""
        return monotonic() < self.until - MARGIN


Duty = Callable[[Tenure], Awaitable[None]]


async def hold(state: State, role: str, duty: Duty) -> None:
    """Run `duty` whenever this process holds `role`, for ever; gives the role up when cancelled.

    A duty that raises is begun again after a pause: a role has nobody else to do its work.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    pause = PAUSES[0]
    while True:
        tenure = await _acquire(state, role, holder)
        begun = monotonic()
        try:
            await _serve(state, role, tenure, duty)
        except Rebuilding:
            log.info("%s: the registry is being rebuilt", role)
            pause = PAUSES[0]
        except FleetbeatError as error:
            log.warning("%s: %s", role, error.message)
        except Exception:
            log.exception("%s: failed unexpectedly and begins again", role)
        finally:
            await _release(state, role, tenure)
        pause = PAUSES[0] if monotonic() - begun > PAUSES[1] else min(pause * 2, PAUSES[1])
        await asyncio.sleep(pause)


async def _acquire(state: State, role: str, holder: str) -> Tenure:
    waiting = False
    while True:
        asked = monotonic()
        try:
            fence = await asyncio.to_thread(state.acquire, role, holder, LEASE_SECONDS)
        except StateUnavailable as error:
            fence = None
            log.warning("%s: %s", role, error.message)
        if fence is not None:
            log.info("%s: this process has the role (fence %d)", role, fence)
            return Tenure(fence, asked + LEASE_SECONDS)
        if not waiting:
            log.info("%s: standing by", role)
            waiting = True
        await asyncio.sleep(STAND_BY)


async def _serve(state: State, role: str, tenure: Tenure, duty: Duty) -> None:
    """Until the duty ends by itself or the lease is lost, which ends it."""
    work = asyncio.ensure_future(duty(tenure))
    keeper = asyncio.create_task(_keep(state, role, tenure))
    try:
        await asyncio.wait({work, keeper}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (work, keeper):
            task.cancel()
        results = await asyncio.gather(work, keeper, return_exceptions=True)
    failure = next((r for r in results if isinstance(r, Exception)), None)
    if failure is not None:
        raise plain(failure)
    log.warning("%s: the lease was lost", role)


async def _keep(state: State, role: str, tenure: Tenure) -> None:
    """Renew; returns when the lease is lost or could not be renewed in time."""
    while tenure.safe:
        await asyncio.sleep(RENEW_EVERY)
        asked = monotonic()
        try:
            if not await asyncio.to_thread(state.renew_role, role, tenure.fence, LEASE_SECONDS):
                return
        except StateUnavailable:
            continue
        tenure.until = asked + LEASE_SECONDS


async def _release(state: State, role: str, tenure: Tenure) -> None:
    try:
        await asyncio.to_thread(state.release, role, tenure.fence)
    except FleetbeatError:
        return  # it runs out by itself


def plain(error: Exception) -> Exception:
    """The first error of a group of tasks, so that callers need not know of groups."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
