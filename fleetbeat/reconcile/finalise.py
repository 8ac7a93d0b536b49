"""The end of a Kustomization: its objects go, stay, or are waited for, then the finalizer is removed.

Deletes only what the ledger names and what still carries our labels and hub id. A suspended Kustomization leaves
everything. A cluster that does not answer keeps the resource in Terminating: it is tried again, nothing is forgotten.
"""

from __future__ import annotations

from time import time

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.errors import PruneFailed
from fleetbeat.kube.apply import ApplyOptions, prune
from fleetbeat.kube.errors import NotFound
from fleetbeat.kube.ledger import delete as delete_ledger
from fleetbeat.kube.ledger import load as load_ledger
from fleetbeat.kube.metadata import still_there
from fleetbeat.reconcile.kustomization_work import KustomizationWork
from fleetbeat.reconcile.outcome import Outcome

LOOK_AGAIN = 2.0
"""Seconds between looks at objects that are terminating."""


def finalise(work: KustomizationWork) -> Outcome | None:
    """The first step: goes on unless the resource is being deleted."""
    if not work.deleting:
        return None
    work.decoded = decode_spec(KINDS["Kustomization"], work.obj)
    if work.spec.suspend or _policy(work) == "Orphan" or not work.old:
        return _gone(work, "objects left in place")
    work.target = work.ctx.targets.reach(work.reach, work.account)
    if not _account_exists(work):
        work.event("PruneFailed", f"service account {work.account} not found: objects left in place", warning=True)
        return _gone(work, "objects left in place")
    work.ledger = load_ledger(work.on.client, work.ref, work.ctx.hub_id)
    if not work.book.exists:
        return _without_ledger(work)
    return _delete(work)


def _policy(work: KustomizationWork) -> str:
    policy = work.spec.deletion_policy or "MirrorPrune"
    if policy == "MirrorPrune":
        return "Delete" if work.spec.prune else "Orphan"
    return policy


def _account_exists(work: KustomizationWork) -> bool:
    if not work.account:
        return True
    namespace, _, name = work.account.partition(":")
    try:
        work.on.client.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
    except NotFound:
        return False
    return True


def _without_ledger(work: KustomizationWork) -> Outcome:
    entries = (work.old.get("inventory") or {}).get("entries") or []
    if entries:
        message = f"the ledger is missing on the cluster: {len(entries)} objects left in place, delete them by hand"
        work.event("PruneFailed", message, warning=True)
    return _gone(work, "no ledger")


def _delete(work: KustomizationWork) -> Outcome:
    work.lease.confirm()
    options = ApplyOptions(owner=work.ref, hub_id=work.ctx.hub_id, guard=work.lease.check)
    outcome = prune(work.on, work.book.entries, options)
    lines = [f"{change.id} {change.action}" for change in outcome.changes if change.action == "deleted"]
    if lines:
        work.event("Progressing", "\n".join(lines))
    if outcome.errors:
        raise PruneFailed("; ".join(outcome.errors))
    if _policy(work) == "WaitForTermination" and not _waited_enough(work):
        left = still_there(work.on, work.book.entries)
        if left:
            message = f"waiting for {len(left)} objects to terminate: " + ", ".join(str(oid) for oid in left[:5])
            memo = work.memo | {"terminating": work.memo.get("terminating") or time()}
            return Outcome(message, work.attempt.progressing(message), memo, next_in=LOOK_AGAIN)
    delete_ledger(work.on.client, work.book)
    return _gone(work, f"{len(lines)} deleted")


def _waited_enough(work: KustomizationWork) -> bool:
    since: float | None = work.memo.get("terminating")
    return since is not None and time() - since > work.timeout


def _gone(work: KustomizationWork, what: str) -> Outcome:
    return Outcome(summary=f"Finalized: {what}", finalized=True)
