"""The registry of kinds: what they are called on the wire and which Structs hold their specs and statuses.

`KINDS` is the one place where a kind becomes known; CRDs, the command line and the registrar read it. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fleetbeat.api.helm import HelmReleaseSpec, HelmReleaseStatus
from fleetbeat.api.image import (
    ImagePolicySpec,
    ImagePolicyStatus,
    ImageRepositorySpec,
    ImageRepositoryStatus,
    ImageUpdateAutomationSpec,
    ImageUpdateAutomationStatus,
)
from fleetbeat.api.kustomize import KustomizationSpec, KustomizationStatus
from fleetbeat.api.meta import Part
from fleetbeat.api.notification import AlertSpec, ProviderSpec, ReceiverSpec, ReceiverStatus
from fleetbeat.api.source import (
    BucketSpec,
    BucketStatus,
    ExternalArtifactSpec,
    ExternalArtifactStatus,
    GitRepositorySpec,
    GitRepositoryStatus,
    HelmChartSpec,
    HelmChartStatus,
    HelmRepositorySpec,
    HelmRepositoryStatus,
    OCIRepositorySpec,
    OCIRepositoryStatus,
)
from fleetbeat.api.source_extensions import ArtifactGeneratorSpec, ArtifactGeneratorStatus

FINALIZER = "finalizers.fluxcd.io"
APPLIERS = ("Kustomization", "HelmRelease")
"""What depends on others (`spec.dependsOn`) and can be depended on."""


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; with priority 1 only of `-o wide`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True)
class Kind:
    """A kind of the API; all are namespaced and have one version."""

    name: str
    group: str
    version: str
    plural: str
    area: str
    """Last part of its own category: sources, appliers, notifications, images."""
    controller: str
    """The Flux controller whose name stands in events and field managers."""
    spec: type[Part]
    status: type[Part] | None
    short_names: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    finalizer: str = FINALIZER
    """Empty: the kind needs none."""

    @property
    def api_version(self) -> str:
        """`group/version`."""
        return f"{self.group}/{self.version}"

    @property
    def singular(self) -> str:
        """The lower-case name."""
        return self.name.lower()

    @property
    def categories(self) -> tuple[str, ...]:
        """Words under which `kubectl get` lists the kind together with others."""
        return ("all", "fluxcd", f"fluxcd-{self.area}")

    @property
    def has_status(self) -> bool:
        """False for kinds that report nothing and count as always ready."""
        return self.status is not None

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The API path of the list (of all namespaces or one), of an object, or of its subresource."""
        steps = [f"/apis/{self.api_version}", *(("namespaces", namespace) if namespace else ()), self.plural]
        return "/".join([*steps, *(step for step in (name, subresource) if step)])


_SOURCE = "source.toolkit.fluxcd.io"
_NOTIFICATION = "notification.toolkit.fluxcd.io"
_IMAGE = "image.toolkit.fluxcd.io"

_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_READY = Column("Ready", '.status.conditions[?(@.type=="Ready")].status')
_MESSAGE = Column("Status", '.status.conditions[?(@.type=="Ready")].message')
_STATE = (_AGE, _READY, _MESSAGE)


def _source(
    name: str, plural: str, spec: type[Part], status: type[Part], short: tuple[str, ...], *columns: Column
) -> Kind:
    return Kind(name, _SOURCE, "v1", plural, "sources", "source-controller", spec, status, short, columns + _STATE)


def _notification(name: str, plural: str, version: str, spec: type[Part], finalizer: str = FINALIZER) -> Kind:
    """A kind without status."""
    area, controller = "notifications", "notification-controller"
    return Kind(name, _NOTIFICATION, version, plural, area, controller, spec, None, (), (_AGE,), finalizer)


def _by_name(kinds: Iterable[Kind]) -> dict[str, Kind]:
    return {kind.name: kind for kind in kinds}


KINDS: dict[str, Kind] = _by_name(
    (
        _source(
            "GitRepository",
            "gitrepositories",
            GitRepositorySpec,
            GitRepositoryStatus,
            ("gitrepo",),
            Column("URL", ".spec.url"),
        ),
        _source(
            "OCIRepository",
            "ocirepositories",
            OCIRepositorySpec,
            OCIRepositoryStatus,
            ("ocirepo",),
            Column("URL", ".spec.url"),
        ),
        _source(
            "HelmRepository",
            "helmrepositories",
            HelmRepositorySpec,
            HelmRepositoryStatus,
            ("helmrepo",),
            Column("URL", ".spec.url"),
        ),
        _source(
            "HelmChart",
            "helmcharts",
            HelmChartSpec,
            HelmChartStatus,
            ("hc",),
            Column("Chart", ".spec.chart"),
            Column("Version", ".spec.version"),
            Column("Source Kind", ".spec.sourceRef.kind"),
            Column("Source Name", ".spec.sourceRef.name"),
        ),
        _source("Bucket", "buckets", BucketSpec, BucketStatus, (), Column("Endpoint", ".spec.endpoint")),
        Kind(
            name="ExternalArtifact",
            group=_SOURCE,
            version="v1",
            plural="externalartifacts",
            area="sources",
            controller="source-controller",
            spec=ExternalArtifactSpec,
            status=ExternalArtifactStatus,
            short_names=("ea",),
            columns=(*_STATE, Column("Source", ".spec.sourceRef.name")),
            finalizer="",
        ),
        Kind(
            name="ArtifactGenerator",
            group="source.extensions.fluxcd.io",
            version="v1beta1",
            plural="artifactgenerators",
            area="sources",
            controller="source-watcher",
            spec=ArtifactGeneratorSpec,
            status=ArtifactGeneratorStatus,
            short_names=("ag",),
            columns=_STATE,
            finalizer="source.extensions.fluxcd.io/finalizer",
        ),
        Kind(
            name="Kustomization",
            group="kustomize.toolkit.fluxcd.io",
            version="v1",
            plural="kustomizations",
            area="appliers",
            controller="kustomize-controller",
            spec=KustomizationSpec,
            status=KustomizationStatus,
            short_names=("ks",),
            columns=_STATE,
        ),
        Kind(
            name="HelmRelease",
            group="helm.toolkit.fluxcd.io",
            version="v2",
            plural="helmreleases",
            area="appliers",
            controller="helm-controller",
            spec=HelmReleaseSpec,
            status=HelmReleaseStatus,
            short_names=("hr",),
            columns=_STATE,
        ),
        Kind(
            name="Receiver",
            group=_NOTIFICATION,
            version="v1",
            plural="receivers",
            area="notifications",
            controller="notification-controller",
            spec=ReceiverSpec,
            status=ReceiverStatus,
            columns=_STATE,
        ),
        _notification("Provider", "providers", "v1beta3", ProviderSpec),
        _notification("Alert", "alerts", "v1beta3", AlertSpec, finalizer=""),
        Kind(
            name="ImageRepository",
            group=_IMAGE,
            version="v1",
            plural="imagerepositories",
            area="images",
            controller="image-reflector-controller",
            spec=ImageRepositorySpec,
            status=ImageRepositoryStatus,
            short_names=("imgrepo", "imagerepo"),
            columns=(
                Column("Image", ".spec.image"),
                Column("Tags", ".status.lastScanResult.tagCount"),
                _READY,
                _MESSAGE,
                Column("Last scan", ".status.lastScanResult.scanTime", priority=1),
                _AGE,
            ),
        ),
        Kind(
            name="ImagePolicy",
            group=_IMAGE,
            version="v1",
            plural="imagepolicies",
            area="images",
            controller="image-reflector-controller",
            spec=ImagePolicySpec,
            status=ImagePolicyStatus,
            short_names=("imgpol", "imagepol"),
            columns=(
                Column("Image", ".status.latestRef.name"),
                Column("Tag", ".status.latestRef.tag"),
                _READY,
                _MESSAGE,
                _AGE,
            ),
        ),
        Kind(
            name="ImageUpdateAutomation",
            group=_IMAGE,
            version="v1",
            plural="imageupdateautomations",
            area="images",
            controller="image-automation-controller",
            spec=ImageUpdateAutomationSpec,
            status=ImageUpdateAutomationStatus,
            short_names=("iua", "imgupd", "imgauto"),
            columns=(_READY, _MESSAGE, Column("Last run", ".status.lastAutomationRunTime", priority=1), _AGE),
        ),
    )
)
"""Every kind of the API by its name, in the order in which people list them."""

OWNED_BY_DEFAULT = (
    "GitRepository",
    "OCIRepository",
    "HelmRepository",
    "HelmChart",
    "Bucket",
    "ArtifactGenerator",
    "Kustomization",
    "Receiver",
)
"""The kinds that something reconciles."""
