"""What keeps a source from offering a new artifact."""

from __future__ import annotations

from fleetbeat.errors.roots import Retryable, Terminal


class InvalidURL(Terminal):
    """The URL is not one that this source kind can read."""

    reason = "URLInvalid"


class InvalidSpec(Terminal):
    """The spec contradicts itself."""

    reason = "ValidationFailed"


class AuthenticationFailed(Retryable):
    """The server refused the credentials."""

    reason = "AuthenticationFailed"


class SourceFetchFailed(Retryable):
    """A source that artifacts are made from has none that can be used."""

    reason = "SourceFetchFailed"


class InvalidProvider(Retryable):
    """The Secret does not fit spec.provider."""

    reason = "InvalidProviderConfiguration"


class GitOperationFailed(Retryable):
    """The Git server could not be read."""

    reason = "GitOperationFailed"


class EmptyRepository(Retryable):
    """The Git repository has no commit."""

    reason = "EmptyGitRepository"


class OCIPullFailed(Retryable):
    """The registry could not be read."""

    reason = "OCIArtifactPullFailed"


class OCINotFound(OCIPullFailed):
    """The registry has no such repository, tag or digest."""


class OCILayerFailed(Retryable):
    """The layer of the OCI artifact cannot become an artifact of ours."""

    reason = "OCIArtifactLayerOperationFailed"


class VerificationFailed(Retryable):
    """No signature was found that can be trusted."""

    reason = "VerificationError"


class InvalidCommitSignature(VerificationFailed):
    """The commit is not signed by a trusted key."""

    reason = "InvalidCommitSignature"


class InvalidTagSignature(VerificationFailed):
    """The tag is not signed by a trusted key."""

    reason = "InvalidTagSignature"


class InvalidGitObject(VerificationFailed):
    """The Git object is not one whose signature could be checked."""

    reason = "InvalidGitObject"


class InvalidVerificationMode(Terminal):
    """spec.verify.mode does not fit spec.ref."""

    reason = "InvalidVerificationMode"


class IncludeUnavailable(Retryable):
    """An included source cannot be copied in."""

    reason = "IncludeUnavailable"


class IncludeNotFound(IncludeUnavailable):
    """An included source does not exist."""

    reason = "NotFound"


class IncludeWithoutArtifact(IncludeUnavailable):
    """An included source has no artifact yet."""

    reason = "NoArtifact"


class IncludeNotCopied(IncludeUnavailable):
    """The content of an included source does not fit."""

    reason = "CopyFailure"


class IncludeCycle(IncludeUnavailable):
    """A source would include its own content."""

    reason = "IncludeCycle"


class IndexationFailed(Retryable):
    """The index of the chart repository could not be read."""

    reason = "IndexationFailed"


class IndexNotFetched(IndexationFailed):
    """The index of the chart repository could not be fetched."""

    reason = "Failed"


class SourceUnavailable(Retryable):
    """The source that a chart is made from does not exist."""

    reason = "SourceUnavailable"


class NoSourceArtifact(SourceUnavailable):
    """The source that a chart is made from has no artifact."""

    reason = "NoSourceArtifact"


class ChartFailed(Retryable):
    """The chart could not be built."""

    reason = "BuildFailed"


class InvalidChartReference(ChartFailed):
    """The source has no chart of that name, path or version."""

    reason = "InvalidChartReference"


class ChartPullFailed(ChartFailed):
    """The chart could not be downloaded."""

    reason = "ChartPullError"


class ValuesFilesFailed(ChartFailed):
    """The values files could not be merged."""

    reason = "ValuesFilesError"


class DependencyBuildFailed(ChartFailed):
    """A dependency of the chart could not be found."""

    reason = "DependencyBuildError"


class ChartPackageFailed(ChartFailed):
    """The chart is malformed or breaks a limit."""

    reason = "ChartPackageError"


class ChartUnverified(ChartFailed):
    """The chart's signature does not hold."""

    reason = "ChartVerificationError"


class BucketFailed(Retryable):
    """The bucket could not be read."""

    reason = "BucketOperationFailed"


class UnsupportedProvider(Terminal):
    """The provider cannot be used in this way."""

    reason = "InvalidProviderConfiguration"


class InvalidSTS(Terminal):
    """The service for temporary credentials cannot be used in this way."""

    reason = "InvalidSTSConfiguration"


class StorageFailed(Retryable):
    """The artifact store could not be read or written."""

    reason = "StorageOperationFailed"


class ArchiveInvalid(Retryable):
    """The archive is malformed or breaks a limit."""

    reason = "ArchiveOperationFailed"


class InvalidPath(Retryable):
    """The path does not exist in the artifact or leaves it."""

    reason = "InvalidPath"
