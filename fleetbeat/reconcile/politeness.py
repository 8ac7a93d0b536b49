"""How often an upstream host is looked at, by all workers together.

Owns the bucket of each host, the rest that a host asks for (`Retry-After`), and what becomes of a run that comes too
early for either: it is put off, nothing has failed, and its status stays as it is. A rest holds for one namespace's
sources: a tenant whose account is limited, or whose proxy answers in the host's name, holds up nobody else. Whom a look
may be shared with is the sweeps' business.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.outcome import Outcome

if TYPE_CHECKING:
    from fleetbeat.reconcile.run import Work
    from fleetbeat.reconcile.sourcework import SourceWork

BURST = 30
"""Seconds' worth of looks that a host which was left alone may get at once."""
UNLIMITED = 1_000_000
"""Looks a second that no worker comes to."""
SPREAD = 5.0
"""Seconds over which runs that were put off come back."""


def wait_turn(work: SourceWork[Any]) -> Outcome | None:
    """A step: the host of the source is asked now, or a little later."""
    return put_off(work, work.host)


def put_off(work: Work[Any], host: str) -> Outcome | None:
    """The end of a run whose `host` was asked often enough, or rests; no rest holds back what a person asked for."""
    wait = polite_wait(work.ctx, host, () if work.requested else (work.ref.namespace,))
    return Outcome(f"put off: {host} was asked often enough, or asked to be left alone", next_in=wait) if wait else None


def polite_wait(ctx: Context, host: str, namespaces: Collection[str]) -> float:
    """0 when `host` may be asked now for sources of `namespaces`, else the seconds to let it alone.

    They differ from caller to caller. A look that several namespaces share is for any of them that may ask.
    """
    rate = ctx.settings.host_rate or UNLIMITED
    rests = [_rest(host, namespace) for namespace in namespaces]
    wait = ctx.state.take(f"host:{host}", rate, rate * BURST, rests) if host else 0.0
    return wait and wait + random.uniform(0, SPREAD)  # noqa: S311 - spreads load, guards nothing


def rest(ctx: Context, host: str, namespace: str, seconds: float) -> None:
    """No source of `namespace` asks `host` before these seconds are over: it said so to one of them."""
    ctx.state.rest(_rest(host, namespace), seconds)


def _rest(host: str, namespace: str) -> str:
    return f"host:{host}:{namespace}"
