"""explain gives exactly one reason, and says what happens next."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.api.refs import Ref
from workers.cli.facts import Facts, Queue, Reason, Trouble
from workers.cli.reasons import reason_of

pytestmark = pytest.mark.unit

APPS = Ref("Kustomization", "flux-system", "apps")
INFRA = Ref("Kustomization", "flux-system", "infra")
SHA = "0123456789abcdef0123456789abcdef01234567"


def condition(kind: str, status: str, reason: str = "R", message: str = "m") -> dict[str, Any]:
    """A condition as the API gives it."""
    return {"type": kind, "status": status, "reason": reason, "message": message}


def facts(
    *conditions: dict[str, Any],
    spec: dict[str, Any] | None = None,
    deleting: bool = False,
    observed: int = 1,
    **known: Any,
) -> Facts:
    """Facts of a Kustomization at generation 1 that nothing else is known of."""
    meta = {"generation": 1, **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {})}
    status = {"observedGeneration": observed, "conditions": list(conditions), "lastAppliedRevision": f"main@sha1:{SHA}"}
    obj = {"metadata": meta, "spec": {"interval": "10m", **(spec or {})}, "status": status}
    return Facts(APPS, obj, **{"owned": True, "trouble": Trouble.NOT_ASKED, **known})


READY = condition("Ready", "True")
FAILED = condition("Ready", "False", "BuildFailed", "no such file: a.yaml.")
WAITS = condition("Ready", "False", "DependencyNotReady", "dependency 'flux-system/infra' is not ready")
BRAKED = condition(
    "Ready",
    "False",
    "PruneBraked",
    "deleting 6 of 6 objects needs a confirmation, nothing was deleted: ConfigMap/a/b and 5 more. If they are meant to "
    "go, run `fleetbeat confirm kustomization apps -n flux-system` or set the annotation "
    "fleetbeat.io/confirm-prune: 0f",
)
AWAY = condition(
    "Ready", "False", "ReconciliationFailed", "API server https://10.0.0.1 cannot be reached: connection refused"
)
BROKEN = Reason(INFRA, "Backoff", "failed with BuildFailed: bad", "it tries again in 9s")

CASES = [
    (facts(), "New", "has not been reconciled yet; its first run follows."),
    (facts(trouble=Trouble.NONE), "NotRegistered", "is not in the registry yet; it is once `fleetbeat start hub`"),
    (facts(owned=False), "NotReconciled", "nothing reconciles this kind yet"),
    (facts(READY, owned=False), "NotReconciled", "is reconciled by another controller"),
    (facts(READY, spec={"suspend": True}), "Suspended", "until `fleetbeat resume Kustomization/flux-system/apps`."),
    (facts(READY, trouble=Trouble.REBUILDING), "Rebuilding", "the registry is being rebuilt"),
    (facts(READY, queue=Queue("running", "drift: ConfigMap/a/b")), "Running", "reconciled now (drift: ConfigMap/a/b);"),
    (facts(READY, queue=Queue("running", dirty=True)), "Running", "it runs once more right after"),
    (facts(READY, queue=Queue("sweep")), "Running", "checked together with its neighbours"),
    (facts(FAILED, queue=Queue("queued", "requested")), "Queued", "in its worker's queue (requested);"),
    (facts(FAILED, queue=Queue(due=-42.0)), "Queued", "has been due for 42s; it runs as soon as a beat hands it out."),
    (facts(FAILED, queue=Queue(due=-2.0, held=True)), "MaxConcurrent", "when another run of its cluster or lane ends."),
    (facts(READY, deleting=True), "Deleting", "is being deleted; it goes when what it manages is gone"),
    (facts(condition("Ready", "False", "PruneFailed", "x"), deleting=True), "Deleting", "failed with PruneFailed: x"),
    (
        facts(BRAKED, condition("Stalled", "True", "PruneBraked", "x")),
        "Braked",
        "has applied what is new and holds its deletions back: deleting 6 of 6 objects needs a confirmation, "
        "nothing was deleted: ConfigMap/a/b and 5 more; `fleetbeat confirm kustomization apps -n flux-system` lets",
    ),
    (
        facts(AWAY, queue=Queue(due=9.0)),
        "ClusterAway",
        "waits for its cluster: API server https://10.0.0.1 cannot be reached: connection refused; it tries again "
        "in 9s, or when the cluster answers.",
    ),
    (
        facts(FAILED, condition("Stalled", "True", "AccessDenied", "no")),
        "Stalled",
        "stalled by AccessDenied: no; only a",
    ),
    (
        facts(WAITS, blocker=BROKEN),
        "DependencyNotReady",
        f"waits for {INFRA}, which failed with BuildFailed: bad; it runs as soon as infra is ready.",
    ),
    (
        facts(WAITS),
        "DependencyNotReady",
        "waits: dependency 'flux-system/infra' is not ready; it runs again by itself.",
    ),
    (
        facts(
            condition("Ready", "Unknown"), condition("Healthy", "Unknown", "Progressing", "Deployment/a/b: 1/3 ready")
        ),
        "Health",
        "is applied and waits for health: Deployment/a/b: 1/3 ready; it is ready when that is.",
    ),
    (
        facts(
            condition("Ready", "Unknown"),
            condition("Healthy", "Unknown", "Progressing", "Running health checks"),
            queue=Queue(awaits=("Deployment/a/b", "Job/a/c", "Job/a/d", "Job/a/e")),
        ),
        "Health",
        "is applied and waits for health: Deployment/a/b, Job/a/c, Job/a/d and 1 more; it is ready when that is.",
    ),
    (
        facts(condition("Ready", "Unknown", "Progressing", "building")),
        "Progressing",
        "is in progress: building; it goes on.",
    ),
    (facts(FAILED), "Backoff", "failed with BuildFailed: no such file: a.yaml; it is tried again by itself."),
    (facts(FAILED, queue=Queue(due=31.0)), "Backoff", "it tries again in 31s."),
    (facts(READY, observed=0), "Outdated", "has a newer spec than was reconciled"),
    (facts(READY), "Ready", "is ready at main@sha1:01234567; it is checked every 10m."),
    (facts(READY, queue=Queue(due=200.0)), "Ready", "it is checked again in 3m."),
]


@pytest.mark.parametrize(("known", "code", "says"), CASES, ids=[f"{n}-{case[1]}" for n, case in enumerate(CASES)])
def test_one_reason_in_one_sentence(known: Facts, code: str, says: str) -> None:
    """The first reason that stops the object is the answer."""
    reason = reason_of(known)
    assert reason.code == code
    assert says in reason.sentence
    assert reason.sentence.startswith(f"{APPS} ") and reason.sentence.endswith(".")
    assert "\n" not in reason.sentence


def test_a_chain_is_followed_to_its_beginning() -> None:
    """The sentence names each object between this one and the one that blocks."""
    middle = reason_of(facts(WAITS, blocker=BROKEN))
    outer = reason_of(facts(WAITS, blocker=middle))
    assert f"waits for {APPS}, which waits for {INFRA}, which failed with BuildFailed: bad" in outer.sentence
