"""`fleetbeat suspend` and `resume`: stop and start the reconciling of objects by their own `spec.suspend`."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fleetbeat.api.kinds import Kind
from fleetbeat.api.refs import Ref
from fleetbeat.errors import CommandFailed
from fleetbeat.kube.pool import run_all
from workers.cli import rows
from workers.cli.connect import Access
from workers.cli.hub import Hub
from workers.cli.progress import Progress
from workers.cli.reconcile import Verdict, conclude, settled, wait_for
from workers.cli.terminal import Tone
from workers.cli.words import parse


def suspend(words: Sequence[str], access: Access, *, every: bool) -> None:
    """Suspend what `words` name, or all objects of the kind in the namespace."""
    hub = Hub(access)
    for kind, obj in _objects(hub, words, access, every):
        ref = Ref.of(obj)
        was = (obj.get("spec") or {}).get("suspend")
        if not was:
            hub.patch(kind, ref, {"spec": {"suspend": True}})
        with Progress(str(ref)) as progress:
            progress.done(Tone.WAIT, "was suspended already" if was else "suspended")


def resume(words: Sequence[str], access: Access, *, every: bool, wait: bool, timeout: float) -> None:
    """Resume what `words` name and wait until each is ready; CommandFailed names the first that is not."""
    hub = Hub(access)
    started = time.monotonic()
    objects = [
        (kind, hub.patch(kind, Ref.of(obj), {"spec": {"suspend": False}}))
        for kind, obj in _objects(hub, words, access, every)
    ]
    for kind, obj in objects:
        ref = Ref.of(obj)
        with Progress(str(ref)) as progress:
            if not wait or not rows.is_owned(kind) or rows.is_static(kind, obj):
                progress.done(Tone.GOOD, "resumed")
                continue
            end = wait_for(lambda k=kind, r=ref: hub.get(k, r), resumed, started + timeout, progress)  # type: ignore[misc]
            conclude(progress, ref, end, time.monotonic() - started)


def resumed(obj: rows.Obj) -> Verdict:
    """Whether the conditions speak of the present generation, and what they say."""
    ready = rows.condition(obj, "Ready")
    observed = ready.get("observedGeneration", (obj.get("status") or {}).get("observedGeneration", 0))
    if observed != obj["metadata"]["generation"]:
        return Verdict(Tone.WAIT, "waiting for a worker")
    return settled(obj, rows.shorten(rows.one_line(ready.get("message", ""))))


def _objects(hub: Hub, words: Sequence[str], access: Access, every: bool) -> list[tuple[Kind, rows.Obj]]:
    selection = parse(words)
    namespace = selection.namespace or access.namespace
    if bool(selection.names) == every or len(selection.kinds) != 1:
        raise CommandFailed("name the objects, for example `ks apps`, or one kind and --all")
    kind = selection.kinds[0]
    if every:
        found = hub.list(kind, namespace) or []
        if not found:
            raise CommandFailed(f"there is no {kind.name} in namespace {namespace}")
        return [(kind, obj) for obj in found]
    refs = [Ref(kind.name, namespace, name) for name in selection.names]
    return [(kind, obj) for obj in run_all(lambda ref: hub.get(kind, ref), refs)]
