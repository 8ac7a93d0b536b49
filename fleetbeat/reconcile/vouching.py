"""Which objects a run need not read, because the observer watches them: a commit costs what it changes.

The observer holds every object of a watched cluster against the fingerprints that its owner's last run left, and asks
for a run where one differs. So a run that nothing but a new artifact asked for, while the watches are live, finds its
other objects as the ledger says. Whatever else asks for a run (a person, drift, the interval, a failure) has it read
everything; what moved in the moment before is seen by the observer too, and put right by the run that follows.
"""

from __future__ import annotations

from fleetbeat.api.refs import ObjectId
from fleetbeat.reconcile.kustomization_work import KustomizationWork
from fleetbeat.state.reasons import artifact_reason

_LONGEST = 250
"""Characters of a reason to which another one is sure to have been joined."""


def vouched(work: KustomizationWork) -> frozenset[ObjectId]:
    """The objects that are as the ledger says; none where anything but a new artifact asked for the run."""
    if work.why != artifact_reason(str(work.source)) or len(work.why) > _LONGEST or work.requested:
        return frozenset()
    if not work.ctx.watches.live(work.cluster):
        return frozenset()
    seen, noisy = work.memo.get("fp") or {}, set(work.memo.get("noisy") or ())
    return frozenset(
        oid
        for oid, entry in work.book.entries.items()
        if entry.fingerprint
        and seen.get(f"{oid.inventory_id}@{entry.version}") == entry.fingerprint
        and oid.inventory_id not in noisy
    )
