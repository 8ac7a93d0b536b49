"""How often an upstream host is looked at, by all workers together.

Owns the bucket of each host, the rest that a host asks for (`Retry-After`), and what becomes of a run that comes too
early for either: it is put off, nothing has failed, and its status stays as it is. Whom a look may be shared with is
the sweeps' business.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.outcome import Outcome

if TYPE_CHECKING:
    from fleetbeat.reconcile.sourcework import SourceWork

BURST = 30
"""Seconds' worth of looks that a host which was left alone may get at once."""
UNLIMITED = 1_000_000
"""Looks a second that no worker comes to."""
SPREAD = 5.0
"""Seconds over which runs that were put off come back."""


def wait_turn(work: SourceWork[Any]) -> Outcome | None:
    """A step: a host that was asked often enough is asked a little later."""
    wait = polite_wait(work.ctx, work.host)
    if not wait:
        return None
    return Outcome(f"put off: {work.host} was asked often enough, or asked to be left alone", next_in=wait)


def polite_wait(ctx: Context, host: str) -> float:
    """0 when `host` may be asked now, else the seconds to let it alone, which differ from caller to caller."""
    rate = ctx.settings.host_rate or UNLIMITED
    wait = ctx.state.take(f"host:{host}", rate, rate * BURST) if host else 0.0
    return wait and wait + random.uniform(0, SPREAD)  # noqa: S311 - spreads load, guards nothing


def rest(ctx: Context, host: str, seconds: float) -> None:
    """Nobody asks `host` before these seconds are over: it said so to one of us."""
    ctx.state.rest(f"host:{host}", seconds)
