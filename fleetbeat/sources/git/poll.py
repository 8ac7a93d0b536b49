"""One look at a repository for all who follow something in it.

Owns asking for the references of many targets at once, and comparing the answer with what each artifact was made of.
The caller sees to it that all of them may read what the account may read: nothing here tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable

from fleetbeat.errors import FleetbeatError
from fleetbeat.sources.credentials import Account
from fleetbeat.sources.git import refs
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.git.plan import Observed, Plan, Target
from fleetbeat.sources.git.refs import Refs
from fleetbeat.sources.git.remote import connect


def list_refs(url: str, account: Account, targets: Iterable[Target], deadline: Deadline) -> Refs:
    """The references that any of `targets` may mean, in one round trip; none for targets that are all fixed commits.

    `url` is a `Plan`'s. Raises AuthenticationFailed, GitOperationFailed or ArchiveInvalid.
    """
    prefixes = sorted({prefix for target in targets for prefix in refs.prefixes(target)})
    if not prefixes:
        return {}
    with connect(url, account, deadline, GitLimits()) as remote:
        return remote.refs(prefixes)


def difference(plan: Plan, observed: Observed, found: Refs) -> str:
    """Why `plan` wants another artifact than the one `observed` describes; empty when it is still the right one."""
    try:
        candidates = refs.choose(plan.target, found)
    except FleetbeatError as error:
        return error.message
    if len(candidates) > 1:
        return "several tags are the same version"
    return "" if observed.equals(plan, candidates[0].revision) else f"the server has {candidates[0].revision}"
