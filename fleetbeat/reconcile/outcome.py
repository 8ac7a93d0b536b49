"""What a run returns: the status to write, when to run next, and one line that a person reads in Flower.

Pure data. `execute` (run.py) is the only one who carries an outcome out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from fleetbeat.errors import FleetbeatError
from fleetbeat.state import Shares

Status = dict[str, Any]
"""A CR's status as JSON."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that a user of the resource wants to read, now or in an alert."""

    ref: str
    uid: str
    reason: str
    message: str
    type: str = "Normal"
    """`Normal` or `Warning`."""
    metadata: dict[str, str] = {}
    time: str = ""
    """RFC 3339, UTC."""
    trace: bool = False
    """True: for the object's own event list only, never for alerts."""


@dataclass(frozen=True)
class Outcome:
    """The end of one run."""

    summary: str
    """One line: `Ready main@sha1:0123456 3/12 changed`."""
    status: Status | None = None
    """None leaves the stored status as it is."""
    memo: dict[str, Any] | None = None
    """Private to the pipeline: what the next run may reuse. Never the only copy of anything."""
    next_in: float | None = None
    """Seconds until the next run; None leaves it to the interval."""
    shares: Shares = Shares.NONE
    """Until something changes, the cluster's sweeps may see to this ref together with others."""
    finalized: bool = False
    """True: nothing keeps the resource from going away."""
    released: bool = False
    """True: the resource needs us no longer; its status and our finalizer are taken off it."""
    announce: str = ""
    """What whoever depends on this ref is poked for (`is ready`): what it waits for may hold now; "" pokes nobody."""
    stirred: bool = False
    """True: Ready says something else than before, which whoever looks at the whole status wants to hear."""
    events: tuple[Event, ...] = ()
    error: FleetbeatError | None = None
    """Raised after the status was saved, so that Flower shows FAILURE."""
    seconds: float = field(default=0.0, compare=False)

    def __repr__(self) -> str:
        return f"{self.summary} in {self.seconds:.2f}s"


DROPPED = Outcome(summary="dropped: another run holds the lease")
"""A duplicate or late message: nothing was done."""


def short_revision(revision: str) -> str:
    """`main@sha1:0123456…` → `main@sha1:0123456`."""
    head, colon, digest = revision.rpartition(":")
    return f"{head}{colon}{digest[:7]}"
