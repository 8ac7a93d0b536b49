"""What a run asks of apply and prune. Plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fleetbeat.api.refs import ObjectId, Ref


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """Whose objects these are, and how far a run may go."""

    owner: Ref
    hub_id: str
    force: bool = False
    """Objects that the API server cannot change in place are deleted and created (spec.force)."""
    guard: Callable[[], None] = lambda: None
    """Called before every write; raises (LostLease) when this run may not write any more."""
    full: bool = False
    """Compare every object by dry run, also those whose fingerprint is unchanged."""
    digest_key: bytes = field(default=b"", repr=False)
    """Keeps values from being guessed by the digests in the ledger."""
    secretive: frozenset[ObjectId] = frozenset()
    """Objects from which no message may quote, whatever their kind."""
    overridden: tuple[str, ...] = ()
    """Field managers whose fields are taken over besides kubectl's."""
