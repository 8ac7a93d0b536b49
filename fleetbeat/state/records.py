"""What goes into the verbs and what comes out of them: plain values; nothing here talks to Redis.

Refs are `Kind/namespace/name` texts; JSON travels as bytes, undecoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

Ended = Literal["stale", "dirty", "idle"]
"""How `finish` found the run: superseded, so nothing was written; poked meanwhile, so due again; or done."""

Phase = Literal["idle", "queued", "running", "sweep"]
"""Where a ref stands: waiting in the due-set, in a queue, with a worker, or looked at by a sweep."""


class Run(NamedTuple):
    """One claimed run, to be published as one message."""

    ref: str
    fence: int
    why: str
    """Why it was poked; empty when its interval alone made it due."""
    urgent: bool


class Sweep(NamedTuple):
    """Refs of one cluster that one look may settle, to be published as one message."""

    cluster: str
    fence: int
    refs: list[str]
    why: str = ""
    """Why they were poked; empty when their intervals alone made them due."""


CALM = "$calm"
"""Key of a status that nobody waits for: the hub is told of others first. Keys with `$` are none of the resource's."""


class Shares(StrEnum):
    """Which looks at a ref may be shared with others until its next run or answer."""

    NONE = ""
    ALL = "w"
    """Nothing is left to do: intervals, requests and new artifacts may be answered by a sweep."""
    HEALTH = "h"
    """It only waits for its objects' health."""


class Answer(NamedTuple):
    """What a sweep writes for a ref that needs no run."""

    status: bytes | None
    """JSON, as a run would leave it; None leaves what is stored."""
    events: tuple[bytes, ...] = ()
    wakes: tuple[str, ...] = ()
    """Refs that wait for this one."""
    news: str = ""
    """Why they are woken."""
    memo: bytes | None = None
    """None leaves what is stored."""
    next_ms: int | None = None
    """From now on; None is the ref's interval."""
    shares: Shares = Shares.ALL


class Claimed(NamedTuple):
    """What one claim handed out."""

    runs: list[Run]
    sweeps: list[Sweep]
    wait: float
    """Seconds until something else can become due; 0 when more is due now than was asked for."""


class Input(NamedTuple):
    """What a run starts with."""

    obj: bytes
    """JSON of the custom resource without status and managedFields."""
    status: bytes | None
    """JSON of the status as last finished or, after a rebuild, as read from the hub."""
    memo: bytes | None
    why: str
    uid: str
    generation: int
    cluster: str
    epoch: str
    asked: int = 0
    """When it was poked last, or else due, before it was handed out: what upstream said since then is no older news."""
    now: int = 0
    """When it was handed out; both in ms of the Redis server's clock."""


@dataclass(frozen=True, slots=True)
class Record:
    """A custom resource as the registrar saw it."""

    shard: str
    ref: str
    uid: str
    rv: str
    """Its resourceVersion; an older one never overwrites a newer one."""
    generation: int
    every_ms: int
    """Interval of its runs."""
    cluster: str
    """Id of the cluster that its objects live on."""
    obj: bytes
    """JSON without status and managedFields."""
    status: bytes | None = None
    """JSON of its status; taken only when this epoch has none yet."""
    targets: tuple[str, ...] = ()
    """`Kind/namespace/name` of everything whose change should poke it."""
    requested: str = ""
    """Its `reconcile.fluxcd.io/requestedAt`; a new value pokes it."""
    suspended: bool = False
    deleting: bool = False
    """Waits for its finalizer; runs even when suspended."""
    reach: bytes | None = None
    """JSON that tells how its cluster is reached, without credentials; None for the hub."""
    group: str = ""
    """Those of one group are swept together at equal intervals; hex digits, empty: those of its cluster."""


class Registered(NamedTuple):
    """What became of a batch of records."""

    changed: int
    """Records that said something new."""
    poked: int
    """Refs that will run because of it."""
    refused: int
    """Records older than what is known."""


class Look(NamedTuple):
    """A ref as the registry knows it."""

    ref: str
    shard: str
    uid: str
    generation: int
    cluster: str
    obj: bytes
    status: bytes | None


class Changed(NamedTuple):
    """A status that the hub does not have yet."""

    shard: str
    ref: str
    seq: int
    """Grows with every change; `ack` takes it, so that a newer change keeps its mark."""
    uid: str
    status: bytes


class StoredEvent(NamedTuple):
    """An entry of the event stream."""

    id: str
    """Position in the stream, to be handed to `events_after`."""
    data: bytes


class Inspection(NamedTuple):
    """Where one ref stands; times are Unix milliseconds of the Redis server's clock."""

    shard: str
    cluster: str
    uid: str
    phase: Phase
    fence: int
    """Fence of the live run; 0 when idle."""
    why: str
    due: int | None
    """When the next run is due; None while one is live, or when the ref is suspended and its status tells so."""
    urgent: bool
    lease: int | None
    """When the live run's lease ends."""
    dirty: bool
    """Poked while running: it runs again."""
    suspended: bool
    held: bool
    """Its cluster or lane is at its cap, so it waits although it may be due."""
    every_ms: int
    now: int


class Depth(NamedTuple):
    """How busy a shard is."""

    shard: str
    refs: int
    due: int
    """Refs that are due and not claimed."""
    scheduled: int
    """Refs that are due later."""
    live: int
    """Messages queued or at work; a sweep counts once."""
    leased: int
    """Refs with a lease; those of a sweep count each."""
    late: float
    """Seconds by which the longest waiting ref is overdue."""
