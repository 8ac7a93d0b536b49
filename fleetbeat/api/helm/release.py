"""HelmReleaseSpec: which chart with which values, where, and how. Owns the Structs only."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from fleetbeat.api.appliers import Dependency, HealthCheckExpr, IgnoreRule, Image, KubeConfig, Patch
from fleetbeat.api.helm.actions import HelmTest, Install, Rollback, Uninstall, Upgrade
from fleetbeat.api.meta import CommonMetadata, Duration, LocalRef, NamespaceName, ObjectName, Part, Rule
from fleetbeat.api.source.helm import ReconcileStrategy


class ChartTemplateSource(Part, frozen=True):
    """The source that has the chart."""

    kind: Literal["HelmRepository", "GitRepository", "Bucket"]
    """Kind of the referent."""
    name: ObjectName
    """Name of the referent."""
    api_version: str | None = None
    """API version of the referent."""
    namespace: NamespaceName | None = None
    """Namespace of the referent; default own."""


class ChartTemplateVerify(Part, frozen=True):
    """Signatures that must hold."""

    provider: Literal["cosign", "notation"] = "cosign"
    """What the chart was signed with."""
    secret_ref: LocalRef | None = None
    """Secret with the keys; none for keyless cosign."""


class ChartTemplateSpec(Part, frozen=True):
    """The spec of the HelmChart."""

    chart: Annotated[str, Meta(min_length=1, max_length=2048)]
    """Name of the chart, or its path in the source's artifact."""
    source_ref: ChartTemplateSource
    """The source that has the chart."""
    ignore_missing_values_files: bool = False
    """Leave out values files that do not exist."""
    interval: Duration | None = None
    """Time between two looks at the source; default that of the release."""
    reconcile_strategy: ReconcileStrategy = "ChartVersion"
    """When the chart counts as new: with its version, or with every revision of its source."""
    values_files: tuple[str, ...] = ()
    """Files of the chart that are merged, in this order, into its values.yaml."""
    verify: ChartTemplateVerify | None = None
    """Signatures that must hold."""
    version: str = "*"
    """Version or range of versions; not used with other sources than a HelmRepository."""


class ChartTemplate(Part, frozen=True):
    """A HelmChart that is made for the release."""

    spec: ChartTemplateSpec
    """The spec of the HelmChart."""
    metadata: CommonMetadata | None = None
    """Its labels and annotations."""


class ChartReference(Part, frozen=True):
    """A chart that somebody else takes care of."""

    kind: Literal["OCIRepository", "HelmChart", "ExternalArtifact"]
    """Kind of the referent."""
    name: ObjectName
    """Name of the referent."""
    api_version: str | None = None
    """API version of the referent."""
    namespace: NamespaceName | None = None
    """Namespace of the referent; default own."""


class DriftDetection(Part, frozen=True):
    """What happens to changes that others make."""

    ignore: tuple[IgnoreRule, ...] = ()
    """Fields that may be changed."""
    mode: Literal["enabled", "warn", "disabled"] | None = None
    """enabled undoes them, warn tells them, disabled (default) does not look."""


class KustomizePostRenderer(Part, frozen=True):
    """What kustomize changes."""

    images: tuple[Image, ...] = ()
    """Other names, tags or digests for images."""
    patches: tuple[Patch, ...] = ()
    """Patches."""


class PostRenderer(Part, frozen=True):
    """A change to what the chart renders."""

    kustomize: KustomizePostRenderer | None = None
    """What kustomize changes."""


class ValuesReference(Part, frozen=True):
    """A ConfigMap or Secret with values."""

    kind: Literal["Secret", "ConfigMap"]
    """Kind of the referent."""
    name: ObjectName
    """Name of the referent."""
    literal: bool = False
    """Take the text as it is, where there is a target path."""
    optional: bool = False
    """Go on when the referent or the key does not exist."""
    target_path: Annotated[str, Meta(max_length=250, pattern=r"^([a-zA-Z0-9_\-.\\\/]|\[[0-9]{1,5}\])+$")] | None = None
    """Where to put the text as a single value; default it is merged as YAML."""
    values_key: Annotated[str, Meta(max_length=253, pattern=r"^[\-._a-zA-Z0-9]+$")] | None = None
    """Key in the referent; default `values.yaml`."""


class WaitStrategy(Part, frozen=True):
    """How it is told that the objects are ready."""

    name: Literal["poller", "legacy"]
    """poller (default) goes by every kind's status, legacy by Helm 3's own rules."""


class HelmReleaseSpec(Part, frozen=True):
    """Which chart is released with which values to which cluster, and how."""

    rules = (Rule("has(self.chart) != has(self.chartRef)", "spec takes exactly one of chart and chartRef"),)

    interval: Duration
    """Time between two runs when nothing else asks for one."""
    chart: ChartTemplate | None = None
    """A HelmChart that is made for the release."""
    chart_ref: ChartReference | None = None
    """A chart that somebody else takes care of."""
    common_metadata: CommonMetadata | None = None
    """Labels and annotations of every object."""
    depends_on: tuple[Dependency, ...] = ()
    """HelmReleases that must be ready first."""
    drift_detection: DriftDetection | None = None
    """What happens to changes that others make."""
    health_check_exprs: tuple[HealthCheckExpr, ...] = ()
    """How the health of custom resources is read."""
    install: Install | None = None
    """The first release."""
    kube_config: KubeConfig | None = None
    """Another cluster than the hub."""
    max_history: int | None = None
    """Records of releases that are kept; default 5, 0 for all."""
    persistent_client: bool | None = None
    """Remember the cluster's kinds during a run; default true. False for charts whose hooks install CRDs."""
    post_render_strategy: Literal["nohooks", "combined", "separate"] | None = None
    """Whether post renderers see hooks: not at all, together with the rest (default) or on their own."""
    post_renderers: tuple[PostRenderer, ...] = ()
    """Changes to what the chart renders, in this order."""
    release_name: Annotated[str, Meta(min_length=1, max_length=53)] | None = None
    """Name of the release; default the target namespace, if one is set, and the own name."""
    rollback: Rollback | None = None
    """The way back to the release before."""
    service_account_name: ObjectName | None = None
    """ServiceAccount in the own namespace that everything is done as, on the target cluster."""
    storage_namespace: NamespaceName | None = None
    """Namespace of the records of releases; default own."""
    suspend: bool = False
    """Do nothing until it is false again."""
    target_namespace: NamespaceName | None = None
    """Namespace of the release; default own."""
    test: HelmTest | None = None
    """The chart's tests."""
    timeout: Duration | None = None
    """Limit of each operation; default 5m."""
    uninstall: Uninstall | None = None
    """The end of the release."""
    upgrade: Upgrade | None = None
    """Every later release."""
    values: Any = None
    """Values, merged over those of valuesFrom."""
    values_from: tuple[ValuesReference, ...] = ()
    """ConfigMaps and Secrets with values; later ones win."""
    wait_strategy: WaitStrategy | None = None
    """How it is told that the objects are ready."""
