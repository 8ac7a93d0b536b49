"""How often an upstream host is looked at, by all workers together.

Owns the bucket of each host and what becomes of a run that finds it empty: it is put off, nothing has failed, and its
status stays as it is. Whom a look may be shared with is the sweeps' business.
"""

from __future__ import annotations

import random
from typing import Any

from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.sourcework import SourceWork

BURST = 30
"""Seconds' worth of looks that a host which was left alone may get at once."""
SPREAD = 5.0
"""Seconds over which runs that were put off come back."""


def wait_turn(work: SourceWork[Any]) -> Outcome | None:
    """A step: a host that was asked often enough is asked a little later."""
    wait = polite_wait(work.ctx, work.host)
    if not wait:
        return None
    return Outcome(f"put off: {work.host} is asked {work.ctx.settings.host_rate} times a second already", next_in=wait)


def polite_wait(ctx: Context, host: str) -> float:
    """0 when `host` may be asked now, else the seconds to let it alone, which differ from caller to caller."""
    rate = ctx.settings.host_rate
    wait = ctx.state.take(f"host:{host}", rate, rate * BURST) if host and rate else 0.0
    return wait and wait + random.uniform(0, SPREAD)  # noqa: S311 - spreads load, guards nothing
