"""`fleetbeat reconcile`: ask for a run now and wait for how it ends.

Asks with Flux's annotation `reconcile.fluxcd.io/requestedAt`, so any controller of these kinds understands it. A run
has ended when `status.lastHandledReconcileAt` equals the annotation; the verdict is then read from the conditions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from fleetbeat.api.kinds import KINDS, Kind
from fleetbeat.api.meta import REQUESTED_AT
from fleetbeat.api.refs import Ref
from fleetbeat.errors import CommandFailed
from workers.cli import rows
from workers.cli.connect import Access
from workers.cli.hub import Hub
from workers.cli.progress import Progress
from workers.cli.terminal import Tone
from workers.cli.words import parse_one

POLL = 0.25
"""Seconds between two looks at one object while a person waits."""

UNDECIDED = frozenset({"Progressing", "ProgressingWithRetry", "DependencyNotReady"})
"""Reasons of Ready=False that another object or time is expected to clear without a new attempt by the user."""


class Verdict(NamedTuple):
    """How far an object has come."""

    tone: Tone
    """GOOD and BAD are final; WAIT is not."""
    message: str


def run(words: Sequence[str], access: Access, *, with_source: bool, wait: bool, timeout: float) -> None:
    """Request a run of one object; raises CommandFailed when it fails or `timeout` (s) passes.

    With `with_source` its source runs first.
    """
    kind, ref = parse_one(words, access.namespace)
    hub = Hub(access)
    obj = hub.get(kind, ref)
    deadline = time.monotonic() + timeout
    if with_source:
        source = source_of(obj)
        if source is None:
            raise CommandFailed(f"{ref} has no source of its own: leave out --with-source")
        _request(hub, KINDS[source.kind], source, hub.get(KINDS[source.kind], source), wait=wait, deadline=deadline)
    _request(hub, kind, ref, obj, wait=wait, deadline=deadline)


def source_of(obj: rows.Obj) -> Ref | None:
    """The source that an object is made from, None when it has none."""
    spec = obj.get("spec") or {}
    own = obj["metadata"]["namespace"]
    chart = ((spec.get("chart") or {}).get("spec") or {}).get("sourceRef")
    source = spec.get("sourceRef") or spec.get("chartRef") or chart
    if not source or source.get("kind") not in KINDS:
        return None
    return Ref(source["kind"], source.get("namespace") or own, source["name"])


def verdict(obj: rows.Obj) -> Verdict:
    """Whether the request that the object carries is answered, and how."""
    status = obj.get("status") or {}
    asked = (obj["metadata"].get("annotations") or {}).get(REQUESTED_AT)
    ready = rows.condition(obj, "Ready")
    message = rows.shorten(rows.one_line(ready.get("message", "")))
    if asked and status.get("lastHandledReconcileAt") != asked:
        return Verdict(Tone.WAIT, "waiting for a worker")
    return settled(obj, message)


def settled(obj: rows.Obj, message: str) -> Verdict:
    """The verdict of the conditions alone."""
    ready = rows.condition(obj, "Ready")
    stalled = rows.condition(obj, "Stalled").get("status") == "True"
    reason = ready.get("reason", "")
    if ready.get("status") == "True":
        return Verdict(Tone.GOOD, message)
    if stalled or (ready.get("status") == "False" and reason not in UNDECIDED):
        return Verdict(Tone.BAD, f"{reason}: {message}")
    return Verdict(Tone.WAIT, message or rows.WAITING)


def wait_for(
    read: Callable[[], rows.Obj], judge: Callable[[rows.Obj], Verdict], deadline: float, progress: Progress
) -> Verdict:
    """Look until the verdict is final, showing where it stands; at the deadline the last one is returned as it is."""
    while True:
        now = judge(read())
        if now.tone is not Tone.WAIT or time.monotonic() >= deadline:
            return now
        progress.update(now.message)
        time.sleep(POLL)


def _request(hub: Hub, kind: Kind, ref: Ref, obj: rows.Obj, *, wait: bool, deadline: float) -> None:
    if (obj.get("spec") or {}).get("suspend"):
        raise CommandFailed(f"{ref} is suspended: run `fleetbeat resume {kind.singular} {ref.name} -n {ref.namespace}`")
    if not rows.is_owned(kind) and not rows.condition(obj, "Ready"):
        raise CommandFailed(f"{ref} cannot be reconciled: {rows.NOT_RECONCILED}")
    if rows.is_static(kind, obj):
        with Progress(str(ref)) as progress:
            progress.done(Tone.GOOD, f"is {rows.STATIC}")
        return
    started = time.monotonic()
    token = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    hub.patch(kind, ref, {"metadata": {"annotations": {REQUESTED_AT: token}}})
    with Progress(str(ref)) as progress:
        if not wait:
            progress.done(Tone.GOOD, "requested")
            return
        end = wait_for(lambda: hub.get(kind, ref), verdict, deadline, progress)
        conclude(progress, ref, end, time.monotonic() - started)


def conclude(progress: Progress, ref: Ref, end: Verdict, seconds: float) -> None:
    """Print the last line of a wait; CommandFailed unless it ended well."""
    if end.tone is Tone.GOOD:
        progress.done(Tone.GOOD, f"{end.message} ({seconds:.1f} s)")
    elif end.tone is Tone.BAD:
        raise CommandFailed(f"{ref} failed: {end.message}")
    else:
        raise CommandFailed(
            f"{ref} was not done after {seconds:.0f} s: {end.message}; `fleetbeat explain {ref}` says what it waits for"
        )
