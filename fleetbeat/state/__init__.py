"""Redis: registry, due-set, leases and status, behind the verbs of one Redis Function library.

`State` is all that the rest of the system knows of Redis. Refs are `Kind/namespace/name` texts, JSON is bytes, in and
out. Any method raises `errors.Rebuilding` while the registry is incomplete and `errors.StateUnavailable` while Redis is
away.
"""

from __future__ import annotations

from fleetbeat.state.buckets import Buckets
from fleetbeat.state.dispatch import Dispatch
from fleetbeat.state.records import (
    CALM,
    Answer,
    Changed,
    Claimed,
    Depth,
    Ended,
    Input,
    Inspection,
    Look,
    Phase,
    Record,
    Registered,
    Run,
    Shares,
    StoredEvent,
    Sweep,
)
from fleetbeat.state.registry import REGISTRAR, Registry
from fleetbeat.state.reports import Reports
from fleetbeat.state.roles import Roles
from fleetbeat.state.views import Views

__all__ = [
    "CALM",
    "REGISTRAR",
    "Answer",
    "Changed",
    "Claimed",
    "Depth",
    "Ended",
    "Input",
    "Inspection",
    "Look",
    "Phase",
    "Record",
    "Registered",
    "Run",
    "Shares",
    "State",
    "StoredEvent",
    "Sweep",
]


class State(Buckets, Dispatch, Registry, Reports, Roles, Views):
    """Everything in Redis. Threads may share one; it connects on first use."""
