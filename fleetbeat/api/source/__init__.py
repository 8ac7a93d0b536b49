"""source.toolkit.fluxcd.io: the kinds that offer artifacts. A module for each kind of upstream; all names are here."""

from fleetbeat.api.source.bucket import BucketSpec, BucketStatus, BucketSTS
from fleetbeat.api.source.common import OIDCIdentity, SourceStatus
from fleetbeat.api.source.external import ExternalArtifactSpec, ExternalArtifactStatus, Origin
from fleetbeat.api.source.git import GitInclude, GitRef, GitRepositorySpec, GitRepositoryStatus, GitVerify
from fleetbeat.api.source.helm import (
    ChartSource,
    ChartVerify,
    HelmChartSpec,
    HelmChartStatus,
    HelmRepositorySpec,
    HelmRepositoryStatus,
)
from fleetbeat.api.source.oci import LayerSelector, OCIRef, OCIRepositorySpec, OCIRepositoryStatus, OCIVerify

__all__ = [
    "BucketSTS",
    "BucketSpec",
    "BucketStatus",
    "ChartSource",
    "ChartVerify",
    "ExternalArtifactSpec",
    "ExternalArtifactStatus",
    "GitInclude",
    "GitRef",
    "GitRepositorySpec",
    "GitRepositoryStatus",
    "GitVerify",
    "HelmChartSpec",
    "HelmChartStatus",
    "HelmRepositorySpec",
    "HelmRepositoryStatus",
    "LayerSelector",
    "OCIRef",
    "OCIRepositorySpec",
    "OCIRepositoryStatus",
    "OCIVerify",
    "OIDCIdentity",
    "Origin",
    "SourceStatus",
]
