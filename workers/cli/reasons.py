"""Why an object waits: exactly one reason, and what happens next. Pure; explain.py gathers the facts.

The reasons are asked in the order in which they stop an object: what a person did (suspended), what is happening now
(running, queued), what a person must do (braked, stalled), what a cluster or another object must do (away, dependency,
source, health), what time will do (backoff, interval).
"""

from __future__ import annotations

from fleetbeat.api.kinds import KINDS
from workers.cli import rows
from workers.cli.facts import Facts, Queue, Reason, Trouble
from workers.cli.rows import Obj, brief


def reason_of(facts: Facts) -> Reason:
    """The first reason that applies."""
    for ask in _QUESTIONS:
        answer = ask(facts)
        if answer is not None:
            return answer
    return _idle(facts)


AWAY = " cannot be reached: "
"""In the message of a cluster that gives no answer, see fleetbeat/kube/explain.py; the breaker repeats it."""
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


def _braked(facts: Facts) -> Reason | None:
    ready = rows.condition(facts.obj, "Ready")
    if ready.get("reason") != "PruneBraked":
        return None
    told = _clean(ready.get("message", "")).partition(". If they")[0]
    return facts.answer(
        "Braked",
        f"has applied what is new and holds its deletions back: {told}",
        f"`fleetbeat confirm kustomization {facts.ref.name} -n {facts.ref.namespace}` lets them go, "
        "a commit that brings the objects back releases it too",
    )


def _cluster_away(facts: Facts) -> Reason | None:
    """The API server gave no answer: the run failed, or the breaker refused to try."""
    ready = rows.condition(facts.obj, "Ready")
    message = ready.get("message", "")
    if ready.get("status") != "False" or AWAY not in message:
        return None
    then = _next(facts, "it is tried again by itself", "tries again")
    return facts.answer(
        "ClusterAway", f"waits for its cluster: {_clean(message)}", f"{then}, or when the cluster answers"
    )


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
        awaits = facts.queue.awaits if facts.queue is not None else ()
        told = _clean(rows.condition(facts.obj, "Healthy").get("message") or ready.get("message", ""))
        if awaits:
            told = ", ".join(awaits[:3]) + (f" and {len(awaits) - 3} more" if len(awaits) > 3 else "")
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
    _braked,
    _stalled,
    _cluster_away,
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
