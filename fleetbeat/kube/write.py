"""The writes of one object: take over foreign fields, apply, and where it must be, make anew.

Every write is preceded by the guard. Deletes only to recreate, only the very object that was looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic, sleep

from fleetbeat.errors import ReconciliationFailed
from fleetbeat.kube import managers, marks
from fleetbeat.kube.client import APPLY, JSON_PATCH, PARTIAL, Response
from fleetbeat.kube.desired import Desired
from fleetbeat.kube.errors import Conflict, KubeError, NotFound
from fleetbeat.kube.ledger import LedgerEntry
from fleetbeat.kube.look import PARAMS, Looked, Verdict, around_live, describe
from fleetbeat.kube.metadata import Live, ObjectMeta, decode_partial, get_metadata
from fleetbeat.kube.options import ApplyOptions
from fleetbeat.kube.target import Target

TERMINATION_PATIENCE = 30.0
"""Seconds that an object to be recreated may take to go; then the run fails and the next one goes on."""
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one object. `problem` is set when a write failed."""

    looked: Looked
    action: str
    entry: LedgerEntry | None = None
    problem: str = ""
    terminating: bool = False

    @property
    def drift(self) -> tuple[str, ...]:
        """What somebody else had done and is undone now."""
        return () if self.action == "unchanged" else self.looked.drift


def write(target: Target, looked: Looked, options: ApplyOptions) -> Written:
    """Bring one object into its desired form.

    Raises what the guard raises, and KubeError when the cluster cannot be reached; refusals are returned.
    """
    desired = looked.desired
    try:
        if looked.verdict is Verdict.RECREATE:
            _remove(target, looked, options)
        created, meta = _settle(target, looked, options)
    except KubeError as error:
        if error.status == 0:
            raise  # no object's fault
        return Written(looked, "unchanged", problem=describe(desired, error, "apply"))
    except ReconciliationFailed as error:
        return Written(looked, "unchanged", problem=error.message)
    action = "created" if created else "configured" if meta.resource_version != looked.rv else "unchanged"
    live = Live.of(meta)
    return Written(looked, action, entry_of(desired, live), terminating=live.deleting)


def entry_of(desired: Desired, live: Live | None) -> LedgerEntry:
    """The ledger's entry of an object that is as desired; without `live` it is looked at again next time."""
    version = desired.resource.version
    if live is None:
        return LedgerEntry(version, desired.digest)
    return LedgerEntry(version, desired.digest, live.fingerprint, live.uid)


def _settle(target: Target, looked: Looked, options: ApplyOptions) -> tuple[bool, ObjectMeta]:
    """Take over where needed, and apply; twice when the first apply only then made foreign ownership visible.

    So it is where managedFields had been stripped: the API server books what it finds under `before-first-apply`.
    """
    if looked.takeover:
        _take_over(target, looked.desired, options)
    created, meta = _apply(target, looked.desired, options)
    if _still_foreign(looked, meta, options):
        _take_over(target, looked.desired, options)
        _, meta = _apply(target, looked.desired, options)
    return created, meta


def _apply(target: Target, desired: Desired, options: ApplyOptions) -> tuple[bool, ObjectMeta]:
    def send(sent: Desired) -> Response:
        options.guard()
        return target.writer.send("PATCH", desired.path, PARAMS, sent.body, APPLY, PARTIAL)

    answer = around_live(target, desired, options, send)[0] if desired.ignored else send(desired)
    return answer.status == 201, decode_partial(answer.body).metadata


def _take_over(target: Target, desired: Desired, options: ApplyOptions) -> None:
    """Make foreign entries ours, against whichever version of the object is there."""
    for attempt in range(_TRIES):
        try:
            patch = managers.takeover_patch(target.writer.get(desired.path), options.overridden)
            if patch is None:
                return
            options.guard()
            target.writer.patch(desired.path, patch, JSON_PATCH, {"fieldManager": marks.MANAGER}, PARTIAL)
            return
        except NotFound:
            return  # the apply that follows creates it
        except Conflict:
            if attempt == _TRIES - 1:
                raise


def _still_foreign(looked: Looked, meta: ObjectMeta, options: ApplyOptions) -> bool:
    marked = {"labels": meta.labels, "annotations": meta.annotations}
    if not looked.rv or marks.merges(looked.desired.metadata) or marks.merges(marked):
        return False
    entries = [
        {"manager": entry.manager, "operation": entry.operation, "subresource": entry.subresource}
        for entry in meta.managed_fields
    ]
    return any(managers.is_taken_over(entry, options.overridden) for entry in entries)


def _delete(target: Target, desired: Desired, live: Live, options: ApplyOptions) -> bool:
    """Delete exactly `live`, whose status alone may have moved since; False when it is gone. Raises Conflict."""
    for _ in range(_TRIES):
        options.guard()
        try:
            target.writer.delete(desired.path, uid=live.uid, resource_version=live.rv)
            return True
        except NotFound:
            return False
        except Conflict:
            now = get_metadata(target.client, desired.resource, desired.id.namespace, desired.id.name)
            if now is None:
                return False
            if (now.uid, now.fingerprint) != (live.uid, live.fingerprint):
                raise
            live = now
    raise ReconciliationFailed(f"{desired.id} delete failed: its status changes faster than it can be looked at")


def _remove(target: Target, looked: Looked, options: ApplyOptions) -> None:
    """Delete the object that was looked at and wait, within bounds, until it is gone."""
    desired, live = looked.desired, looked.live
    if live is None:
        return
    if not live.deleting and not _delete(target, desired, live, options):
        return
    deadline = monotonic() + TERMINATION_PATIENCE
    pause = 0.05
    while True:
        there = get_metadata(target.client, desired.resource, desired.id.namespace, desired.id.name)
        if there is None or there.uid != live.uid:
            return
        if monotonic() > deadline:
            raise ReconciliationFailed(f"{desired.id} is being recreated and still terminating (finalizers?)")
        sleep(pause)
        pause = min(pause * 2, 1.0)
