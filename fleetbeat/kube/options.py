"""What a run asks of apply and prune. Plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.kube.ignoring import Rule


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """Whose objects these are, and how far a run may go."""

    owner: Ref
    hub_id: str
    uid: str = ""
    """The owner's uid, where it lives on another cluster than its objects: one of its name there is somebody else."""
    force: bool = False
    """Objects that the API server cannot change in place are deleted and created (spec.force)."""
    guard: Callable[[], None] = lambda: None
    """Called before every write; raises (LostLease) when this run may not write any more."""
    valid: bool = False
    """Objects that the API server accepts are applied although it refuses others of their stage or of one before."""
    full: bool = False
    """Compare every object by dry run, also those whose fingerprint is unchanged."""
    digest_key: bytes = field(default=b"", repr=False)
    """Keeps values from being guessed by the digests in the ledger."""
    secretive: frozenset[ObjectId] = frozenset()
    """Objects from which no message may quote, whatever their kind."""
    overridden: tuple[str, ...] = ()
    """How the names begin of field managers whose fields are taken over besides kubectl's."""
    early: frozenset[tuple[str, str]] = frozenset()
    """(group, kind) of what is applied in a stage of its own before all others."""
    vouched: frozenset[ObjectId] = frozenset()
    """Objects that are known to be as the ledger says: while their intent is the same, nobody need read them."""
    ignore: tuple[Rule, ...] = ()
    """Fields that others have the say of once an object exists (spec.ignore)."""
