"""HelmRepository and HelmChart. Owns the Structs only."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from fleetbeat.api.meta import AccessFrom, Duration, LocalRef, Part, Rule, ShortDuration
from fleetbeat.api.source.common import CloudProvider, OIDCIdentity, SourceStatus

ReconcileStrategy = Literal["ChartVersion", "Revision"]
"""When a chart counts as new: with its version, or with every revision of its source."""


class HelmRepositorySpec(Part, frozen=True):
    """Where charts are listed."""

    url: Annotated[str, Meta(pattern=r"^(http|https|oci)://.*$")]
    """URL above the index.yaml, or `oci://` and the registry's prefix."""
    access_from: AccessFrom | None = None
    """Accepted for compatibility; not enforced."""
    cert_secret_ref: LocalRef | None = None
    """Secret with `ca.crt`, `tls.crt` and `tls.key`."""
    insecure: bool = False
    """Allow plain HTTP to a registry."""
    interval: Duration | None = None
    """Time between two looks at the index; default 1m. Not used by type oci."""
    pass_credentials: bool = False
    """Send the credentials also to other hosts that the index names."""
    provider: CloudProvider = "generic"
    """Where the credentials of type oci come from."""
    secret_ref: LocalRef | None = None
    """Secret with `username` and `password`; for type oci of type kubernetes.io/dockerconfigjson."""
    suspend: bool = False
    """Do nothing until it is false again."""
    timeout: ShortDuration | None = None
    """Limit of one operation; default 60s."""
    type: Literal["default", "oci"] | None = None
    """default has an index.yaml; oci is a registry, which only HelmCharts look at."""


class HelmRepositoryStatus(SourceStatus, frozen=True):
    """The index as it was read last."""

    url: str | None = None
    """Where the latest index may be downloaded."""


class ChartSource(Part, frozen=True):
    """A source in the same namespace."""

    kind: Literal["HelmRepository", "GitRepository", "Bucket"]
    """Kind of the referent."""
    name: str
    """Name of the referent."""
    api_version: str | None = None
    """API version of the referent."""


class ChartVerify(Part, frozen=True):
    """Signatures that must hold."""

    match_oidc_identity: tuple[OIDCIdentity, ...] = ()
    """Who may have signed without a key; any of them."""
    provider: Literal["cosign", "notation"] = "cosign"
    """What it was signed with."""
    secret_ref: LocalRef | None = None
    """Secret with the keys; none for keyless cosign."""


class HelmChartSpec(Part, frozen=True):
    """Which chart of which source becomes the artifact."""

    rules = (
        Rule(
            "self.sourceRef.kind == 'HelmRepository' || !has(self.verify)",
            "spec.verify is for charts of a HelmRepository only",
        ),
    )

    chart: str
    """Name of the chart, or its path in the source's artifact."""
    interval: Duration
    """Time between two looks at the source."""
    source_ref: ChartSource
    """The source that has the chart."""
    ignore_missing_values_files: bool = False
    """Leave out values files that do not exist."""
    reconcile_strategy: ReconcileStrategy = "ChartVersion"
    """When the chart counts as new: with its version, or with every revision of its source."""
    suspend: bool = False
    """Do nothing until it is false again."""
    values_files: tuple[str, ...] = ()
    """Files of the chart that are merged, in this order, into its values.yaml."""
    verify: ChartVerify | None = None
    """Signatures that must hold; for a HelmRepository of type oci."""
    version: str = "*"
    """Version or range of versions; not used with other sources than a HelmRepository."""


class HelmChartStatus(SourceStatus, frozen=True):
    """What was fetched, and from what."""

    observed_chart_name: str | None = None
    """Name of the chart as found."""
    observed_source_artifact_revision: str | None = None
    """Revision of the source that the chart was made from."""
    observed_values_files: tuple[str, ...] = ()
    """Values files that were merged."""
    url: str | None = None
    """Where the latest chart may be downloaded."""
