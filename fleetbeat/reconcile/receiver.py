"""The Receiver pipeline: checks its token and publishes the path that its webhooks are sent to."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.notification import ReceiverSpec
from fleetbeat.errors import FleetbeatError, Retryable
from fleetbeat.kube.errors import NotFound
from fleetbeat.notify.receiver import check_spec, webhook_path
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.run import Pipeline, Work

RETRY = 60.0
"""Seconds until another look for a missing token; the Secret's watch usually comes first."""


class TokenNotFound(Retryable):
    """The Receiver's Secret or its token is missing."""

    reason = "TokenNotFound"


@dataclass
class ReceiverWork(Work[ReceiverSpec]):
    """What the steps of this pipeline leave for each other."""

    token: str = ""


def finalise(work: ReceiverWork) -> Outcome | None:
    """A deleted Receiver leaves nothing behind."""
    return Outcome(summary="Finalized", finalized=True) if work.deleting else None


def read_spec(work: ReceiverWork) -> Outcome | None:
    """The decoded spec; types and expressions that cannot work are refused."""
    work.decoded = decode_spec(KINDS["Receiver"], work.obj)
    check_spec(work.spec)
    return None


def read_token(work: ReceiverWork) -> Outcome | None:
    """The token of `spec.secretRef`."""
    if work.spec.secret_ref is None:
        raise TokenNotFound("spec.secretRef is missing")
    name = f"Secret {work.ref.namespace}/{work.spec.secret_ref.name}"
    try:
        data = work.ctx.targets.reader.secret(work.ref.namespace, work.spec.secret_ref.name)
    except NotFound as error:
        raise TokenNotFound(f"{name} not found") from error
    if "token" not in data:
        raise TokenNotFound(f"{name} has no key 'token'")
    work.token = data["token"].decode("utf-8", "replace")
    return None


def publish_path(work: ReceiverWork) -> Outcome | None:
    """Ready, with the path in the status."""
    path = webhook_path(work.token, work.ref.name, work.ref.namespace)
    status = work.attempt.ready("Succeeded", f"Receiver initialized for path: {path}", webhookPath=path)
    return Outcome(summary="Ready", status=status)


def fail(work: ReceiverWork, error: FleetbeatError) -> Outcome:
    """A failed attempt."""
    work.event(error.reason, error.message, warning=True)
    return Outcome(f"{error.reason}: {error.message}", work.attempt.failed(error), next_in=RETRY, error=error)


PIPELINE = Pipeline(ReceiverWork, (finalise, read_spec, read_token, publish_path), fail)
"""What a run of a Receiver does."""
