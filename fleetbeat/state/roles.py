"""Fenced leases of roles: one holder at a time, and a fence that tells its successor from it.

They work while rebuilding, because the registrar needs its role to rebuild.
"""

from __future__ import annotations

from fleetbeat.state.server import Server


class Roles(Server):
    """acquire, renew_role, release."""

    def acquire(self, role: str, holder: str, seconds: float) -> int | None:
        """Take a role that nobody holds, and return its fence; None while another holds it.

        `holder` names one process: who asks again under the same name takes over from itself with a new fence.
        """
        fence = self.call("acquire", role, holder, round(seconds * 1000))
        return None if fence is None else int(fence)

    def renew_role(self, role: str, fence: int, seconds: float) -> bool:
        """Hold a role for `seconds` from now; False when it is lost."""
        return bool(self.call("renew_role", role, fence, round(seconds * 1000)))

    def release(self, role: str, fence: int) -> bool:
        """Give a role up; False when it was lost before."""
        return bool(self.call("release", role, fence))
