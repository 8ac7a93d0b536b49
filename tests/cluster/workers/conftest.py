"""The hub role in the test's process, beside the processes' hosts."""

from __future__ import annotations

from tests.support.hub import client, config, registering, reporting, short_leases, state, user, worker

__all__ = ["client", "config", "registering", "reporting", "short_leases", "state", "user", "worker"]
