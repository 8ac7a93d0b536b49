"""The end of a sweep of sources, for one part of its refs after the other.

Owns the look at the store that an unchanged source is due now and then: the artifact's object is still there, or the
source's own run stores it again. A store that does not answer says nothing about the rest; they are looked for later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, time

import msgspec

from fleetbeat.artifacts.store import Source
from fleetbeat.errors import StorageFailed
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.sourceartifact import key_of
from fleetbeat.reconcile.sweepable import Known

STORE_SECONDS = 30.0
"""How long a sweep spends with the store in all, well within its lease of 120 s."""


@dataclass
class Settling:
    """A sweep under way; not for several threads at a time."""

    ctx: Context
    shard: str
    fence: int
    unseen: Mapping[str, Known]
    """Those of its refs whose objects are due to be looked for."""
    unchanged: int = 0
    delayed: int = 0
    poked: list[str] = field(default_factory=list)
    _spent: float = 0.0

    def settle(self, refs: Iterable[str], poked: Mapping[str, str]) -> None:
        """Settle `refs` but those that are poked (ref → why)."""
        unchanged = [ref for ref in refs if ref not in poked]
        poked = {**poked, **self._lost([ref for ref in unchanged if ref in self.unseen])}
        unchanged = [ref for ref in unchanged if ref not in poked]
        if unchanged or poked:
            self.ctx.state.settle(self.shard, self.fence, unchanged, poked)
        self.unchanged += len(unchanged)
        self.poked += poked

    def delay(self, refs: Sequence[str], seconds: float) -> None:
        """Leave `refs` to a later sweep."""
        self.delayed += self.ctx.state.delay(self.shard, self.fence, refs, seconds)

    def _lost(self, refs: Iterable[str]) -> dict[str, str]:
        """ref → why it needs a run, of those whose object is not there; the others are remembered as seen."""
        lost: dict[str, str] = {}
        seen: dict[str, bytes] = {}
        for ref in refs:
            begun = monotonic()
            try:
                if self._spent > STORE_SECONDS:
                    break
                if self._is_there(ref):
                    seen[ref] = msgspec.json.encode(msgspec.structs.replace(self.unseen[ref].memo, checked=time()))
                else:
                    lost[ref] = "its artifact is not in the store"
            except StorageFailed as error:
                lost[ref] = error.message[:200]
                self._spent = STORE_SECONDS
            self._spent += monotonic() - begun
        if seen:
            self.ctx.state.remember(self.shard, self.fence, seen)
        return lost

    def _is_there(self, ref: str) -> bool:
        known = self.unseen[ref]
        uid = str(known.obj["metadata"]["uid"])
        source = Source(known.ref.kind, known.ref.namespace, known.ref.name, uid)
        return self.ctx.store.exists(key_of(self.ctx.store, source, known.artifact), known.artifact.get("size"))
