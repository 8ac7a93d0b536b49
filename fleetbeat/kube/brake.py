"""The prune brake: when so much of an inventory would go that a person is asked first.

Owns the limits, the arithmetic, and the code of a list of deletions, which is what a person confirms: of exactly those
objects, by uid, so that a confirmation is good for one list and cannot be used up later by another accident. Decides
only; what is deleted and what is remembered is the callers'. No I/O.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fleetbeat.api.refs import ObjectId
from fleetbeat.errors import InvalidSpec
from fleetbeat.kube.ledger import Held, LedgerEntry

CONFIRM = "fleetbeat.io/confirm-prune"
"""Annotation of a Kustomization: the code of the deletions that a person agrees to."""
LIMITS = "fleetbeat.io/prune-brake"
"""Annotation of a Kustomization: other limits than the installation's, in the words of `Limits.parse`."""
NAMED = 5
"""Objects that a message names."""

_WORD = re.compile(r"(all|most)=(\d{1,9}|off)")


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a prune needs a confirmation; None switches that limit off."""

    everything: int | None = 5
    """All objects of the inventory, when there are at least so many."""
    most: int | None = 50
    """More objects than this that are also more than half of the inventory."""

    @classmethod
    def parse(cls, text: str, name: str, default: Limits | None = None) -> Limits:
        """`off`, or `all=5,most=50`, of which either may be missing or `off`; "" is the default.

        name: what holds the text, for the message of InvalidSpec.
        """
        limits = default or cls()
        if text.strip().lower() == "off":
            return cls(None, None)
        for word in filter(None, (part.strip().lower() for part in text.split(","))):
            found = _WORD.fullmatch(word)
            if found is None:
                raise InvalidSpec(f"{name}: {text!r} is not understood; use off, or limits such as all=5,most=50")
            value = None if found[2] == "off" else int(found[2])
            limits = replace(limits, everything=value) if found[1] == "all" else replace(limits, most=value)
        return limits

    def exceeded(self, deleted: int, of: int, *, nothing_stays: bool) -> bool:
        """Whether deleting so many of an inventory of `of` needs a confirmation."""
        if self.everything is not None and nothing_stays and deleted >= max(self.everything, 1):
            return True
        return self.most is not None and deleted > self.most and deleted * 2 > of


def code_of(doomed: Mapping[ObjectId, str]) -> str:
    """The code of a list of deletions, id → uid: 16 hex characters."""
    lines = sorted(f"{oid.inventory_id} {uid}" for oid, uid in doomed.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def inventory_size(entries: Iterable[LedgerEntry], held: Held | None) -> int:
    """How many objects there were before this change: those written, not those that are merely intended.

    While the brake holds it is the size at which it was pulled, because the new objects are applied meanwhile.
    """
    holds = held is not None and not held.confirmed
    return held.of if held is not None and holds else sum(1 for entry in entries if entry.uid)


def pull(
    doomed: Mapping[ObjectId, str], stale: Mapping[ObjectId, LedgerEntry], of: int, limits: Limits, held: Held | None
) -> Held | None:
    """What is to be confirmed before `doomed` (id → uid) may be deleted; None when they may go.

    stale: all entries that are no longer wanted, those included whose object is gone or marked to stay.
    held: what the brake held before. What was confirmed then is free, and what was not stays held until the change
    itself is within the limits, not merely because somebody deleted a few of the objects by hand.
    """
    written = sum(1 for oid, entry in stale.items() if entry.uid or oid in doomed)
    if held is not None and held.confirmed:
        free = set(held.ids)
        doomed, held = {oid: uid for oid, uid in doomed.items() if oid.inventory_id not in free}, None
    if not doomed:
        return None
    of = max(of, len(doomed))
    deleted = len(doomed) if held is None else written
    if not limits.exceeded(deleted, of, nothing_stays=written >= of):
        return None
    return Held(of, code_of(doomed), tuple(sorted(oid.inventory_id for oid in doomed)))


def may_pull(stale: int, of: int, limits: Limits) -> bool:
    """Whether `stale` entries can exceed the limits at all: only then their objects are looked at beforehand."""
    return limits.exceeded(stale, max(of, stale), nothing_stays=stale >= of)


def told(held: Held, command: str) -> str:
    """The sentence of the condition; command: what confirms on a command line."""
    names = [str(ObjectId.from_inventory_id(one)) for one in held.ids]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (
        f"deleting {len(names)} of {held.of} objects needs a confirmation, nothing was deleted: "
        f"{', '.join(names[:NAMED])}{more}. If they are meant to go, run `{command}` or set the annotation "
        f"{CONFIRM}: {held.code}"
    )
