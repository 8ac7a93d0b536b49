"""A run's books: what earlier runs applied, and what this one is about to, written down before the first write.

Owns when the ledger is read and when intent is saved. A ledger is presumed where saving it shows whether it is the one
on the cluster: none at all where nothing says that the Kustomization was ever applied, and that of this process's last
run where there is a new artifact.
"""

from __future__ import annotations

from fleetbeat.api.refs import ObjectId
from fleetbeat.errors import ArtifactFailed, FleetbeatError
from fleetbeat.kube.ledger import Ledger, LedgerEntry
from fleetbeat.kube.ledger import load as load_ledger
from fleetbeat.reconcile import former
from fleetbeat.reconcile.consumed import is_older
from fleetbeat.reconcile.kustomization_work import RETRY_SOON, KustomizationWork
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.pruning import adopted


def open_ledger(work: KustomizationWork) -> Outcome | None:
    """What earlier runs applied."""
    kept = work.ctx.ledgers.take(work.cluster, work.ref)
    if not (work.memo or any(work.old.get(key) for key in ("inventory", "history", "lastAttemptedRevision"))):
        _open(work, Ledger(work.ref, work.ctx.hub_id), presumed=True)
    elif kept is not None and kept.applied != work.applying:
        _open(work, kept, presumed=True)
    else:
        _load(work)
    return None


def _load(work: KustomizationWork) -> None:
    _open(work, load_ledger(work.on.client, work.ref, work.ctx.hub_id), presumed=False)


def _open(work: KustomizationWork, ledger: Ledger, *, presumed: bool) -> None:
    """An artifact older than what was applied is not applied."""
    work.ledger, work.known_before, work.presumed = ledger, ledger.exists, presumed
    work.moved = former.places(work)
    applied = ledger.applied
    if applied is not None and applied.source == work.source_id and is_older(work.got, applied.fence):
        raise ArtifactFailed(
            f"artifact {work.revision} is older than the applied {applied.revision}; waiting for the source",
            retry_after=RETRY_SOON,
        )


def save_intent(work: KustomizationWork) -> None:
    """Everything intended into the ledger, and the artifact that it comes from; raises LostLease."""
    work.lease.check()
    if work.presumed:
        try:
            _save(work)
        except FleetbeatError:  # it is another one, or cannot be saved: what that means is for whoever reads it
            _load(work)
    _save(work)


def _save(work: KustomizationWork) -> None:
    desired = {ObjectId.of(obj): obj for obj in work.built.objects}
    known = desired.keys() <= work.book.entries.keys() and set(work.moved) <= set(work.book.left)
    if work.book.applied == work.applying and known:
        return
    intended = {
        oid: LedgerEntry(version=obj["apiVersion"].rpartition("/")[2])
        for oid, obj in desired.items()
        if oid not in work.book.entries
    }
    intended = {**adopted(work), **intended}
    work.ledger = work.book.save_superset(work.on.client, intended, work.fence, work.applying, work.moved)
