"""One object before the first write of its stage: is it new, changed, as it should be, to be left alone, or refused.

Owns the dry run and the decision; writes nothing. Every refusal becomes a sentence naming the object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from time import monotonic, sleep
from typing import Any

from fleetbeat.kube import claims, drift, managers, marks
from fleetbeat.kube.client import APPLY, PARTIAL, Params, Response
from fleetbeat.kube.desired import Desired, redact
from fleetbeat.kube.errors import Conflict, Invalid, KubeError, NotFound
from fleetbeat.kube.fields import Path
from fleetbeat.kube.ignoring import Around, around
from fleetbeat.kube.ledger import LedgerEntry
from fleetbeat.kube.metadata import Live, get_metadata
from fleetbeat.kube.options import ApplyOptions
from fleetbeat.kube.target import Target

_NEVER_FORCED = ("CustomResourceDefinition", "Namespace")
"""Made anew they would take everything in them along: `spec.force` does not reach them, their own annotation does."""
_TRIES = 4
_IMMUTABLE = re.compile(r"\bimmutable\b", re.IGNORECASE)

PARAMS: Params = {"fieldManager": marks.MANAGER, "force": True}
DRY_RUN: Params = {**PARAMS, "dryRun": "All"}


class Verdict(Enum):
    """What is to be done with an object."""

    SKIP = "skip"
    KEEP = "keep"
    WRITE = "write"
    RECREATE = "recreate"


@dataclass(frozen=True, slots=True)
class Looked:
    """The outcome of a look. `refusal` is set when the API server rejects the object."""

    desired: Desired
    verdict: Verdict
    live: Live | None = None
    """The object as it is, where known; fingerprint included."""
    drift: tuple[str, ...] = ()
    takeover: bool = False
    """Fields of kubectl and the like must become ours first."""
    rv: str = ""
    """resourceVersion of the live object when it was dry-run, "" when it does not exist."""
    refusal: str = ""
    alone: bool = False
    """Not dry-run: the only object of its stage to be written, so the write itself shows whether it is refused."""


def look(
    target: Target,
    desired: Desired,
    entry: LedgerEntry | None,
    live: Live | None,
    options: ApplyOptions,
    patience: float = 0.0,
) -> Looked:
    """Dry-run `desired` and decide. `entry`: what the ledger knows; `live`: metadata, where it was read already.

    patience: seconds that a 404 is taken for a kind that is about to appear.

    Raises KubeError only when the cluster cannot be reached; refusals are part of the answer.
    """
    if marks.ignored(desired.metadata):
        return Looked(desired, Verdict.SKIP, live)
    known = entry is not None and entry.digest == desired.digest
    accept = None if known else PARTIAL
    near: Around | None = None
    try:
        if desired.ignored:
            answer, near = around_live(target, desired, options, lambda sent: _dry_run(target, sent, patience, accept))
        else:
            answer = _dry_run(target, desired, patience, accept)
    except KubeError as error:
        if error.status in (0, 401):
            raise  # no object's fault
        return _refused(target, desired, error, options)
    if answer.status == 201:
        gone = ("deleted",) if entry is not None and entry.uid else ()
        return Looked(desired, Verdict.WRITE, drift=gone)
    wanted = answer.json()
    if marks.ignored(wanted["metadata"]) or marks.once(desired.metadata):
        return Looked(desired, Verdict.SKIP, live or _metadata(target, desired))
    if not known:
        return _change(desired, wanted, options)
    try:
        there, wanted = (near.live, wanted) if near is not None else _same_moment(target, desired, wanted)
    except NotFound:
        return Looked(desired, Verdict.WRITE, drift=("deleted",))
    return _compare(target, desired, there, wanted, live, options, near)


def around_live(
    target: Target, desired: Desired, options: ApplyOptions, send: Callable[[Desired], Response]
) -> tuple[Response, Around | None]:
    """`send` what leaves the ignored fields of the live object as they are; the object as desired when there is none.

    Again when the object moved in between: the API server refuses what was made for an older version. Raises KubeError.
    """
    labels = marks.owner_labels(options.owner)
    for attempt in range(_TRIES):
        try:
            there = target.writer.get(desired.path)
        except NotFound:
            return send(desired), None
        near = around(desired.body, there, desired.ignored, labels, options.overridden)
        sent = replace(desired, body=near.body)
        try:
            return send(sent), near
        except KubeError as error:
            error.message = redact(error.message, sent)
            if not _lost_race(error) or attempt == _TRIES - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _change(desired: Desired, wanted: Mapping[str, Any], options: ApplyOptions) -> Looked:
    """Our own intent is new, so it is written in any case."""
    metadata = wanted["metadata"]
    takeover = not _merges(desired, wanted) and managers.takeover_patch(wanted, options.overridden) is not None
    return Looked(desired, Verdict.WRITE, takeover=takeover, rv=metadata["resourceVersion"])


def _compare(
    target: Target,
    desired: Desired,
    there: Mapping[str, Any],
    wanted: Mapping[str, Any],
    live: Live | None,
    options: ApplyOptions,
    near: Around | None,
) -> Looked:
    """Our intent is as before and somebody touched the object: was it innocent."""
    if marks.ignored(there["metadata"]):
        return Looked(desired, Verdict.SKIP, live)
    merge = _merges(desired, there)
    innocent = partial(near.covers, wanted=wanted) if near is not None else _nothing
    found = drift.find(there, wanted, options.overridden, merge=merge, innocent=innocent)
    rv = there["metadata"]["resourceVersion"]
    if not found:
        return Looked(desired, Verdict.KEEP, _same_version(target, desired, live, rv), rv=rv)
    takeover = not merge and managers.takeover_patch(there, options.overridden) is not None
    return Looked(desired, Verdict.WRITE, live, drift=found, takeover=takeover, rv=rv)


def _nothing(path: Path) -> bool:
    return False


def _same_moment(
    target: Target, desired: Desired, wanted: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The live object and the dry-run answer made from that very version of it; controllers write in between.

    Where they never rest, the pair of different versions is the answer: at worst it causes an idle apply.
    """
    there = target.writer.get(desired.path)
    for _ in range(_TRIES):
        if wanted["metadata"].get("resourceVersion") == there["metadata"]["resourceVersion"]:
            break
        wanted = _dry_run(target, desired).json()
        there = target.writer.get(desired.path)
    return there, wanted


def _merges(desired: Desired, there: Mapping[str, Any]) -> bool:
    return marks.merges(desired.metadata) or marks.merges(there["metadata"])


def _same_version(target: Target, desired: Desired, live: Live | None, rv: str) -> Live | None:
    """Metadata of the version that was judged; None when the object moves too fast, and is looked at again.

    Looks before and after it with one fingerprint will do: only status moved in between, and it is not judged.
    """
    if live is not None and live.rv == rv:
        return live
    now = _metadata(target, desired)
    if now is None:
        return None
    return now if now.rv == rv or (live is not None and live.fingerprint == now.fingerprint) else None


def _metadata(target: Target, desired: Desired) -> Live | None:
    return get_metadata(target.client, desired.resource, desired.id.namespace, desired.id.name)


def _dry_run(target: Target, desired: Desired, patience: float = 0.0, accept: str | None = None) -> Response:
    """The object as it would be after an apply; `accept` PARTIAL where only its metadata is of interest."""
    deadline = monotonic() + patience
    pause = 0.05
    while True:
        try:
            return target.writer.send("PATCH", desired.path, DRY_RUN, desired.body, APPLY, accept)
        except NotFound as error:
            if monotonic() > deadline or "namespaces" in error.message:
                raise
        sleep(pause)
        pause = min(pause * 2, 0.5)


def _refused(target: Target, desired: Desired, error: KubeError, options: ApplyOptions) -> Looked:
    refusal = describe(desired, error)
    if not _cannot_change(error):
        return Looked(desired, Verdict.KEEP, refusal=refusal)
    live = _metadata(target, desired)
    if live is None or not _may_recreate(desired, live, options):
        return Looked(desired, Verdict.KEEP, refusal=refusal)
    other = marks.owned_by_another(live.labels, options.owner, options.hub_id)
    other = other or claims.others(target, options).get(desired.id, "")
    if other:
        return Looked(desired, Verdict.KEEP, refusal=f"{refusal}; not recreated because it belongs to {other}")
    problem = _invalid_as_new(target, desired)
    if problem:
        return Looked(desired, Verdict.KEEP, refusal=problem)
    return Looked(desired, Verdict.RECREATE, live, rv=live.rv)


def _cannot_change(error: KubeError) -> bool:
    """Whether the change itself is refused. A lost race is a conflict too, and passes by itself."""
    if _lost_race(error):
        return False
    return isinstance(error, (Invalid, Conflict)) or bool(_IMMUTABLE.search(error.message))


def _lost_race(error: KubeError) -> bool:
    return isinstance(error, Conflict) and "has been modified" in error.message


def _may_recreate(desired: Desired, live: Live, options: ApplyOptions) -> bool:
    if marks.forced(desired.metadata) or marks.forced({"labels": live.labels, "annotations": live.annotations}):
        return True
    return options.force and desired.id.kind not in _NEVER_FORCED


def _invalid_as_new(target: Target, desired: Desired) -> str:
    """Why the API server would refuse to create the object, "" when it would not: only then is the old one deleted.

    A dry-run create of an existing name validates first, and answers AlreadyExists only to what it would accept.
    """
    try:
        collection = desired.resource.path(desired.id.namespace)
        target.writer.create(collection, desired.body, {"dryRun": "All", "fieldManager": marks.MANAGER})
    except Conflict:
        return ""
    except KubeError as error:
        return "" if "already allocated" in error.message else describe(desired, error)
    return ""


def describe(desired: Desired, error: KubeError, doing: str = "dry-run") -> str:
    """`Deployment/apps/web dry-run failed (Invalid): …`."""
    reason = f" ({error.status_reason})" if error.status_reason else ""
    message = redact(error.message, desired)
    return f"{desired.id} {doing} failed{reason}: {message}"
