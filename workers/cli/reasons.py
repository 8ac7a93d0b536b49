"""Why an object waits: exactly one reason, and what happens next. Pure; explain.py gathers the facts.

The reasons are asked in the order in which they stop an object: what a person did (suspended), what is happening now
(running, queued), what a person must do (stalled), what another object must do (dependency, source, health), what time
will do (backoff, interval).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from fleetbeat.api.kinds import KINDS
from fleetbeat.api.refs import Ref
from workers.cli import rows
from workers.cli.rows import Obj, brief


class Trouble(Enum):
    """Why nothing is known from Redis."""

    NONE = "none"
    NOT_ASKED = "not asked"
    REBUILDING = "rebuilding"


@dataclass(frozen=True)
class Queue:
    """What Redis knows of one ref; times in seconds from now, negative when past."""

    phase: str = "idle"
    """`queued`, `running` or `sweep` of the live run; `idle` when there is none."""
    why: str = ""
    """What asked for the run; "" when only the interval did."""
    due: float | None = None
    """When the next run is due."""
    dirty: bool = False
    """It was asked again while running and runs again at once."""
    held: bool = False
    """Its lane or cluster has as many runs as it may have."""


@dataclass(frozen=True)
class Facts:
    """All that is known of one object."""

    ref: Ref
    obj: Obj
    owned: bool
    """Whether Fleetbeat reconciles the kind."""
    queue: Queue | None = None
    """None when Redis was not asked, does not answer or does not know the object."""
    trouble: Trouble = Trouble.NONE
    blocker: Reason | None = None
    """Why the dependency or source that this object waits for is not ready."""

    def answer(self, code: str, state: str, then: str) -> Reason:
        """A reason of this object."""
        return Reason(self.ref, code, state, then)


@dataclass(frozen=True)
class Reason:
    """The answer."""

    ref: Ref
    code: str
    """One word for programs, such as `DependencyNotReady`."""
    state: str
    """What holds now, as the end of a sentence that begins with the ref."""
    then: str
    """What happens next."""

    @property
    def sentence(self) -> str:
        """The one sentence that a person reads."""
        return f"{self.ref} {self.state}; {self.then}."

    def data(self) -> dict[str, Any]:
        """For `-o json`."""
        return {"ref": str(self.ref), "reason": self.code, "sentence": self.sentence}


def reason_of(facts: Facts) -> Reason:
    """The first reason that applies."""
    for ask in _QUESTIONS:
        answer = ask(facts)
        if answer is not None:
            return answer
    return _idle(facts)


_WAITING = ("DependencyNotReady", "ArtifactFailed", "SourceNotReady", "SourceUnavailable", "NoSourceArtifact")


def needs_blocker(obj: Obj) -> bool:
    """Whether another object's reason would say more than this one's own."""
    reason = rows.condition(obj, "Ready").get("reason")
    return reason in _WAITING


def _not_owned(facts: Facts) -> Reason | None:
    if facts.owned:
        return None
    if rows.condition(facts.obj, "Ready"):
        return facts.answer("NotReconciled", "is reconciled by another controller", "Fleetbeat leaves it alone")
    return facts.answer("NotReconciled", "rests, because nothing reconciles this kind yet", "it stays as it is")


def _static(facts: Facts) -> Reason | None:
    if not rows.is_static(KINDS[facts.ref.kind], facts.obj):
        return None
    return facts.answer("Ready", f"is {rows.STATIC}", "nothing has to be done for it")


def _suspended(facts: Facts) -> Reason | None:
    if not (facts.obj.get("spec") or {}).get("suspend"):
        return None
    if facts.obj["metadata"].get("deletionTimestamp"):
        return None
    ref = facts.ref
    return facts.answer(
        "Suspended",
        "is suspended",
        f"nothing happens until `fleetbeat resume {ref.kind}/{ref.namespace}/{ref.name}`",
    )


def _rebuilding(facts: Facts) -> Reason | None:
    if facts.trouble is not Trouble.REBUILDING:
        return None
    return facts.answer(
        "Rebuilding",
        "waits because Redis was restarted or wiped and the registry is being rebuilt from the hub",
        "it runs as soon as the registrar has listed everything",
    )


def _running(facts: Facts) -> Reason | None:
    queue = facts.queue
    if queue is None or queue.phase not in ("running", "sweep"):
        return None
    doing = "is being checked together with its neighbours" if queue.phase == "sweep" else "is being reconciled now"
    again = "it runs once more right after, because it was asked again" if queue.dirty else "its status follows"
    return facts.answer("Running", doing + _because(queue), again)


def _queued(facts: Facts) -> Reason | None:
    queue = facts.queue
    if queue is None:
        return None
    if queue.phase == "queued":
        return facts.answer("Queued", "is in its worker's queue" + _because(queue), "it runs when a worker is free")
    late = -queue.due if queue.due is not None else 0.0
    if late <= 0 or (late < 1 and not queue.why):
        return None
    state = f"has been due for {brief(late)}" + _because(queue)
    if queue.held:
        return facts.answer("MaxConcurrent", state, "it runs when another run of its cluster or lane ends")
    return facts.answer("Queued", state, "it runs as soon as a beat hands it out")


def _unseen(facts: Facts) -> Reason | None:
    if rows.condition(facts.obj, "Ready") or facts.obj["metadata"].get("deletionTimestamp"):
        return None
    if facts.queue is None and facts.trouble is Trouble.NONE:
        return facts.answer(
            "NotRegistered",
            "is not in the registry yet",
            "it is once `fleetbeat start hub` watches this cluster",
        )
    return facts.answer("New", "has not been reconciled yet", _next(facts, "its first run follows"))


def _deleting(facts: Facts) -> Reason | None:
    if not facts.obj["metadata"].get("deletionTimestamp"):
        return None
    ready = rows.condition(facts.obj, "Ready")
    failed = ready.get("status") == "False"
    state = f"is being deleted, but that failed with {_told(ready)}" if failed else "is being deleted"
    return facts.answer("Deleting", state, _next(facts, "it goes when what it manages is gone"))


def _stalled(facts: Facts) -> Reason | None:
    stalled = rows.condition(facts.obj, "Stalled")
    if stalled.get("status") != "True":
        return None
    return facts.answer(
        "Stalled",
        f"is stalled by {_told(stalled)}",
        "only a change of its spec or of its source starts another try",
    )


def _blocked(facts: Facts) -> Reason | None:
    ready = rows.condition(facts.obj, "Ready")
    blocker = facts.blocker
    if ready.get("status") == "True" or blocker is None:
        return None
    code = "DependencyNotReady" if ready.get("reason") == "DependencyNotReady" else "SourceNotReady"
    return facts.answer(
        code,
        f"waits for {blocker.ref}, which {blocker.state}",
        f"it runs as soon as {blocker.ref.name} is ready",
    )


def _healing(facts: Facts) -> Reason | None:
    ready = rows.condition(facts.obj, "Ready")
    if ready.get("status") != "Unknown":
        return None
    if rows.condition(facts.obj, "Healthy").get("status") == "Unknown":
        told = _clean(rows.condition(facts.obj, "Healthy").get("message") or ready.get("message", ""))
        return facts.answer("Health", f"is applied and waits for health: {told}", "it is ready when that is")
    return facts.answer(
        "Progressing", f"is in progress: {_clean(ready.get('message', ''))}", _next(facts, "it goes on")
    )


def _failed(facts: Facts) -> Reason | None:
    ready = rows.condition(facts.obj, "Ready")
    if ready.get("status") != "False":
        return None
    if needs_blocker(facts.obj):
        told = _clean(ready.get("message", ""))
        return facts.answer(ready["reason"], f"waits: {told}", _next(facts, "it runs again by itself"))
    return facts.answer(
        "Backoff", f"failed with {_told(ready)}", _next(facts, "it is tried again by itself", "tries again")
    )


def _outdated(facts: Facts) -> Reason | None:
    observed = (facts.obj.get("status") or {}).get("observedGeneration", 0)
    if observed == facts.obj["metadata"].get("generation", observed):
        return None
    return facts.answer("Outdated", "has a newer spec than was reconciled", _next(facts, "the next run takes it up"))


_QUESTIONS = (
    _static,
    _not_owned,
    _suspended,
    _rebuilding,
    _running,
    _queued,
    _unseen,
    _deleting,
    _stalled,
    _blocked,
    _healing,
    _failed,
    _outdated,
)


def _idle(facts: Facts) -> Reason:
    revision = rows.shorten(rows.revision(facts.ref.kind, facts.obj))
    state = f"is ready at {revision}" if revision else "is ready"
    return facts.answer("Ready", state, _next(facts, f"it is checked every {_interval(facts.obj)}", "is checked again"))


def _because(queue: Queue) -> str:
    return f" ({queue.why})" if queue.why else ""


def _next(facts: Facts, otherwise: str, doing: str = "runs") -> str:
    """When it goes on, where Redis says so."""
    due = facts.queue.due if facts.queue else None
    if due is None:
        return otherwise
    return f"it {doing} in {brief(due)}" if due > 1 else f"it {doing} now"


def _interval(obj: Obj) -> str:
    return (obj.get("spec") or {}).get("interval") or "5m"


def _told(condition: Obj) -> str:
    return f"{condition.get('reason', '')}: {_clean(condition.get('message', ''))}"


def _clean(message: str) -> str:
    return rows.shorten(rows.one_line(message)).rstrip(".;: ")
