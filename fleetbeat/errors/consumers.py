"""What keeps a consumer of an artifact from being applied, ready or removed."""

from __future__ import annotations

from fleetbeat.errors.roots import Retryable, Terminal


class ArtifactFailed(Retryable):
    """The source has no artifact that can be used."""

    reason = "ArtifactFailed"


class ArtifactMoving(ArtifactFailed):
    """The artifact is being replaced."""


class AccessDenied(Terminal):
    """A reference crosses a namespace that it may not cross."""

    reason = "AccessDenied"


class BuildFailed(Retryable):
    """The manifests could not be built."""

    reason = "BuildFailed"


class DependencyNotReady(Retryable):
    """A dependency is not ready."""

    reason = "DependencyNotReady"


class DependencyCycle(DependencyNotReady):
    """Dependencies wait for each other."""


class ReconciliationFailed(Retryable):
    """The cluster rejected the change."""

    reason = "ReconciliationFailed"


class HealthCheckFailed(Retryable):
    """An object did not become healthy."""

    reason = "HealthCheckFailed"


class PruneFailed(Retryable):
    """An object could not be deleted."""

    reason = "PruneFailed"


class PruneBraked(Terminal):
    """So many objects would be deleted that a person is asked first."""

    reason = "PruneBraked"


class InvalidExpression(Terminal):
    """A CEL expression does not compile."""

    reason = "InvalidCELExpression"


class LedgerUnreadable(Retryable):
    """The ledger on the target cluster cannot be read; nothing is applied or pruned without it."""

    reason = "ReconciliationFailed"
