"""ExternalArtifact, which anybody may write to offer an artifact of their own making. Owns the Structs only."""

from __future__ import annotations

from fleetbeat.api.meta import Artifact, Condition, Part


class Origin(Part, frozen=True):
    """The object that makes the artifact."""

    kind: str
    """Kind of the referent."""
    name: str
    """Name of the referent."""
    api_version: str | None = None
    """API version of the referent."""
    namespace: str | None = None
    """Namespace of the referent; default own."""


class ExternalArtifactSpec(Part, frozen=True):
    """Whose artifact it is."""

    source_ref: Origin | None = None
    """The object that makes the artifact."""


class ExternalArtifactStatus(Part, frozen=True):
    """The artifact, written by whoever makes it."""

    artifact: Artifact | None = None
    """What was stored last."""
    conditions: tuple[Condition, ...] = ()
    """Ready, as its maker sees it."""
