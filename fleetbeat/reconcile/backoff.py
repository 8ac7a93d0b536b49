"""When a run is tried again that failed through no fault of its resource: an API server, S3 or the worker had trouble.

Such failures heal without anybody touching the resource, so they do not wait for its interval. The pause grows per
resource; a poke (the cluster answers again, a person asks) begins it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetbeat.errors import FleetbeatError, StorageFailed, Unexpected
from fleetbeat.kube.errors import ServerError, TooManyRequests, Unreachable

FIRST, LONGEST = 5.0, 60.0
"""Seconds: doubled from the first to the last."""

_AWAY = (StorageFailed, Unreachable, ServerError, TooManyRequests, Unexpected)


def is_away(error: FleetbeatError) -> bool:
    """True when the failure says nothing about the resource itself."""
    return isinstance(error, _AWAY)


def count(memo: Mapping[str, Any], why: str) -> int:
    """How many tries in a row have failed, this one included; a poked run begins anew."""
    return 1 if why else int(memo.get("failures", 0)) + 1


def pause(failures: int, first: float = FIRST, longest: float = LONGEST) -> float:
    """Seconds until the next try after so many failures in a row."""
    return min(first * 2.0 ** min(failures - 1, 10), longest)
