"""source.extensions.fluxcd.io: ArtifactGenerator, which makes artifacts of parts of others. Owns the Structs only."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fleetbeat.api.meta import CommonMetadata, Condition, ObjectName, Part, Rule

_ALIAS = r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?"

AliasPath = Annotated[str, Meta(max_length=1024, pattern=rf"^@({_ALIAS})/(.*)$")]
AliasRevision = Annotated[str, Meta(max_length=64, pattern=rf"^@({_ALIAS})$")]


class CopyOperation(Part, frozen=True):
    """Files that go from a source into the artifact."""

    from_: Annotated[AliasPath, Meta(min_length=1)] = msgspec.field(name="from")
    """`@alias/` and a glob."""
    to: Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^@(artifact)/(.*)$")]
    """`@artifact/` and a path."""
    exclude: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    """Globs of files to leave out."""
    strategy: Literal["Overwrite", "Merge", "Extract"] | None = None
    """Overwrite (default) replaces files, Merge merges YAML deeply, Extract unpacks archives."""


class OutputArtifact(Part, frozen=True):
    """One ExternalArtifact in the own namespace."""

    copy: Annotated[tuple[CopyOperation, ...], Meta(min_length=1)]
    """What goes into it, in this order."""
    name: ObjectName
    """Name of the ExternalArtifact; may use captures of the path pattern as `{name}`."""
    origin_revision: AliasRevision | None = None
    """`@alias` of the source whose origin revision is published."""
    revision: AliasRevision | None = None
    """`@alias` of the source whose revision is taken; default made from the content's digest."""


class GeneratorSource(Part, frozen=True):
    """A source to take files from."""

    alias: Annotated[str, Meta(max_length=63, pattern=rf"^{_ALIAS}$")]
    """Name in the copy operations."""
    kind: Literal["Bucket", "GitRepository", "OCIRepository", "HelmChart", "ExternalArtifact"]
    """Kind of the referent."""
    name: Annotated[str, Meta(max_length=253, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    """Name of the referent."""
    namespace: Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = (
        None
    )
    """Namespace of the referent; default own."""


class ArtifactGeneratorSpec(Part, frozen=True):
    """Which artifacts are made out of which sources."""

    rules = (
        Rule(
            "(has(self.pathPattern) && self.pathPattern != '') || self.artifacts.all(artifact, artifact.name.matches("
            r"'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))",
            "without spec.pathPattern every artifact needs the name of a Kubernetes object",
        ),
    )

    artifacts: Annotated[tuple[OutputArtifact, ...], Meta(min_length=1, max_length=1000)]
    """The artifacts to make."""
    sources: Annotated[tuple[GeneratorSource, ...], Meta(min_length=1, max_length=1000)]
    """The sources to take files from."""
    common_metadata: CommonMetadata | None = None
    """Labels and annotations of the ExternalArtifacts."""
    path_pattern: AliasPath | None = None
    """`@alias/apps/{app}`: the artifacts are made once for every directory that fits; captures become labels."""


class GeneratedArtifact(Part, frozen=True):
    """An ExternalArtifact that was made."""

    digest: str
    """Digest of the artifact."""
    filename: str
    """File in the store."""
    name: str
    """Name of the ExternalArtifact."""
    namespace: str
    """Namespace of the ExternalArtifact."""


class ArtifactGeneratorStatus(Part, frozen=True):
    """What was made."""

    conditions: tuple[Condition, ...] = ()
    """Ready, and while they are true Reconciling and Stalled."""
    inventory: tuple[GeneratedArtifact, ...] = ()
    """The ExternalArtifacts that were made."""
    last_handled_reconcile_at: str | None = None
    """The `reconcile.fluxcd.io/requestedAt` annotation as the last attempt found it."""
    observed_sources_digest: str | None = None
    """Digest over the revisions of all sources; nothing is made while it stays."""
