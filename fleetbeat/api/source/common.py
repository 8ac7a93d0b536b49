"""What the sources have in common. Owns the Structs only."""

from __future__ import annotations

from typing import Literal

from fleetbeat.api.meta import Artifact, Part, Status

CloudProvider = Literal["generic", "aws", "azure", "gcp"]
"""Where credentials come from: a Secret or nothing, or the workload identity of a cloud."""


class OIDCIdentity(Part, frozen=True):
    """Who may have signed, where a signature has no key; both must match."""

    issuer: str
    """Regular expression on the OIDC issuer."""
    subject: str
    """Regular expression on the subject of the certificate."""


class SourceStatus(Status, frozen=True):
    """What every source reports."""

    artifact: Artifact | None = None
    """What was stored last."""
