"""Git servers as a worker asks them."""

from __future__ import annotations

import pytest

from fleetbeat.errors import FleetbeatError
from fleetbeat.sources.credentials import Account
from fleetbeat.sources.git import Deadline, GitLimits
from fleetbeat.sources.git.remote import connect


def refs(url: str, account: Account, *, seconds: float = 30, limits: GitLimits | None = None) -> dict[str, str]:
    """What the server lists."""
    with connect(url, account, Deadline.after(seconds), limits or GitLimits()) as remote:
        return remote.refs(["refs/"])


def refused(url: str, account: Account) -> FleetbeatError:
    """Why it does not."""
    with pytest.raises(FleetbeatError) as caught:
        refs(url, account)
    assert url in caught.value.message
    return caught.value
