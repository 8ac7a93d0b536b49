"""`fleetbeat confirm kustomization`: show what the prune brake holds, ask, and let it go.

Reads the list from the ledger on the cluster that the Kustomization applies to; where that cannot be read, the
condition on the hub names the first objects and the code. Writes one annotation; deletes nothing itself.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.errors import CommandFailed, FleetbeatError
from fleetbeat.kube.brake import CONFIRM
from fleetbeat.kube.identity import hub_id
from fleetbeat.kube.ledger import load
from fleetbeat.kube.reach import Reach
from fleetbeat.reconcile.targets import Targets
from workers.cli import rows
from workers.cli.connect import Access
from workers.cli.hub import Hub
from workers.cli.progress import Progress
from workers.cli.reconcile import Verdict, conclude, settled, wait_for
from workers.cli.terminal import Terminal, Tone
from workers.cli.words import parse_one

BRAKED = "PruneBraked"
"""Reason of Ready while deletions wait for a confirmation."""
_CODE = re.compile(rf"{re.escape(CONFIRM)}: (\w+)$")


class Waiting(NamedTuple):
    """Deletions that wait."""

    code: str
    objects: tuple[str, ...]
    """Empty when only the condition could be read."""
    told: str
    """The condition's message."""


def run(words: Sequence[str], access: Access, *, yes: bool, wait: bool, timeout: float) -> None:
    """Confirm the deletions of one Kustomization."""
    kind, ref = parse_one(words, access.namespace)
    if kind.name != "Kustomization":
        raise CommandFailed(f"{kind.name} objects need no confirmation: only the pruning of a Kustomization does")
    hub = Hub(access)
    held = waiting(hub, ref, hub.get(kind, ref))
    _show(ref, held)
    if not yes:
        _ask(held)
    started = time.monotonic()
    hub.patch(kind, ref, {"metadata": {"annotations": {CONFIRM: held.code}}})
    with Progress(str(ref)) as progress:
        if not wait:
            progress.done(Tone.GOOD, "confirmed")
            return
        end = wait_for(lambda: hub.get(kind, ref), lambda obj: verdict(obj, held.code), started + timeout, progress)
        conclude(progress, ref, end, time.monotonic() - started)


def waiting(hub: Hub, ref: Ref, obj: rows.Obj) -> Waiting:
    """What is held; CommandFailed when nothing is."""
    ready = rows.condition(obj, "Ready")
    found = _CODE.search(ready.get("message", ""))
    if ready.get("reason") != BRAKED or found is None:
        raise CommandFailed(f"nothing waits for a confirmation: {ref} {_state(ready)}")
    try:
        target = Targets(hub.client).reach(Reach.of_spec(ref.namespace, obj.get("spec") or {}))
        held = load(target.client, ref, hub_id(hub.client)).held
    except FleetbeatError as error:
        note = f"the whole list is in the ledger, which cannot be read from here: {rows.one_line(error.message)}"
        Terminal(sys.stderr).state(Tone.DIM, note)
        held = None
    if held is None or held.confirmed:
        return Waiting(found[1], (), ready["message"])
    return Waiting(held.code, tuple(str(ObjectId.from_inventory_id(one)) for one in held.ids), ready["message"])


def _state(ready: rows.Obj) -> str:
    if ready.get("status") == "True":
        return "is ready"
    return f"is not ready: {rows.one_line(ready.get('message', rows.WAITING))}"


def _show(ref: Ref, held: Waiting) -> None:
    out = Terminal()
    if not held.objects:
        out.line(rows.one_line(held.told))
        return
    out.line(f"{ref} would delete {_counted(held)}:")
    for name in held.objects:
        out.line(f"  {name}")


def _counted(held: Waiting) -> str:
    return f"{len(held.objects)} object{'s' if len(held.objects) != 1 else ''}"


def _ask(held: Waiting) -> None:
    if not sys.stdin.isatty():
        raise CommandFailed("nobody can be asked here: look at the list, then run it again with --yes")
    what = _counted(held) if held.objects else "what is held"
    if input(f"Delete {what}? Type yes: ").strip().lower() not in ("y", "yes"):
        raise CommandFailed("nothing was confirmed, nothing is deleted")


def verdict(obj: rows.Obj, code: str) -> Verdict:
    """Whether the confirmation took effect, and how that ended."""
    ready = rows.condition(obj, "Ready")
    if ready.get("reason") != BRAKED:
        return settled(obj, rows.shorten(rows.one_line(ready.get("message", ""))))
    found = _CODE.search(ready.get("message", ""))
    if found is not None and found[1] == code:
        return Verdict(Tone.WAIT, "waiting for a worker")
    return Verdict(Tone.BAD, "the list has changed meanwhile and needs a confirmation of its own: run it again")
