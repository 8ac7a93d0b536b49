"""`fleetbeat build kustomization` and `fleetbeat diff kustomization`: a local directory before it is pushed.

Owns the commands' course and what they print: manifests or the diff on standard output, everything else on standard
error. Nothing is written to the cluster.
"""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from fleetbeat.api.refs import ObjectId
from fleetbeat.errors import CommandFailed
from fleetbeat.kube.ignoring import compile_rules
from fleetbeat.kube.marks import owner_labels
from fleetbeat.kube.reach import Reach
from fleetbeat.kube.target import Target
from fleetbeat.reconcile.targets import Targets
from workers.cli import comparison, localtree
from workers.cli.comparison import Brought, Difference
from workers.cli.connect import Access
from workers.cli.hub import Hub
from workers.cli.localbuild import Local, Options
from workers.cli.manifests import masked, text_of
from workers.cli.progress import Progress
from workers.cli.terminal import Terminal, Tone
from workers.cli.tree import inventory, reach

_TONES = {"created": Tone.GOOD, "changed": Tone.WAIT, "deleted": Tone.BAD}
_SIGNS = {"+": Tone.GOOD, "-": Tone.BAD, "@": Tone.DIM}


def build(options: Options, access: Access) -> None:
    """Print what the Kustomization would apply, Secrets masked."""
    hub = None if options.offline else Hub(access)
    with Progress(options.name, sys.stderr) as progress:
        built = localtree.build(options, access, hub, progress)
    out = Terminal()
    for obj in (obj for one in built for obj in one.objects):
        out.line("---\n" + text_of(masked(obj)).rstrip("\n"))


def diff(options: Options, access: Access) -> bool:
    """Print what applying it would change on its cluster; True when anything would."""
    hub = Hub(access)
    with Progress(options.name, sys.stderr) as progress:
        built = localtree.build(options, access, hub, progress)
        progress.update(f"comparing {sum(len(one.objects) for one in built)} objects with the cluster")
        found = _differences(built, hub)
    out = Terminal()
    for difference in (difference for differences in found for difference in differences):
        for line in _printed(difference, out):
            out.line(line)
    changed = [_summed_up(one, differences) for one, differences in zip(built, found, strict=True)]
    problems = [one.problem for differences in found for one in differences if one.problem]
    if problems:
        raise CommandFailed("\n".join(problems))
    return any(changed)


def _differences(built: Sequence[Local], hub: Hub) -> list[list[Difference]]:
    """Of each, on its cluster, where what the others bring is as good as there."""
    places = {where: [one for one in built if reach(one.obj) == where] for where in map(_where, built)}
    brought = {where: Brought.by([obj for one in there for obj in one.objects]) for where, there in places.items()}
    targets = Targets(hub.client)
    return [_of_one(one, targets.reach(_where(one)), brought[_where(one)]) for one in built]


def _where(built: Local) -> Reach:
    return reach(built.obj)


def _of_one(built: Local, target: Target, brought: Brought) -> list[Difference]:
    """Of the objects in the order of apply, then of what would be pruned."""
    owner = owner_labels(built.ref)
    found = comparison.compare(target, built.objects, owner, compile_rules(built.spec.ignore or ()), brought)
    if built.spec.prune and not any(one.problem for one in found):
        wanted = {ObjectId.of(obj) for obj in built.objects}
        found += comparison.stale(target, inventory(built.obj), wanted, owner)
    return found


def _printed(difference: Difference, out: Terminal) -> Iterator[str]:
    """The lines of one object; none when it stays as it is."""
    if difference.action not in _TONES:
        return
    yield out.paint(f"► {difference.id} {difference.action}", _TONES[difference.action])
    before, after = (text_of(side).splitlines() if side else [] for side in (difference.before, difference.after))
    old, new = (f"{name}/{difference.id}" if side else "/dev/null" for name, side in (("live", before), ("new", after)))
    for line in difflib.unified_diff(before, after, old, new, lineterm=""):
        yield out.paint(line, _SIGNS.get(line[:1], Tone.PLAIN))
    for note in difference.notes:
        yield out.paint(f"- {note}, which an apply takes away", Tone.BAD)


def _summed_up(built: Local, found: list[Difference]) -> bool:
    """Say how many; True when any object would change."""
    counts = Counter(one.action for one in found)
    changes = sum(counts[action] for action in _TONES)
    words = ", ".join(f"{counts[action]} {action}" for action in (*_TONES, "unchanged", "skipped") if counts[action])
    where = "" if built.obj.get("live", True) else " (not on the cluster yet)"
    Terminal(sys.stderr).state(
        Tone.WAIT if changes else Tone.GOOD, f"{built.ref}{where}  {words or 'nothing to apply'}"
    )
    return changes > 0
