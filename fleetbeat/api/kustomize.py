"""kustomize.toolkit.fluxcd.io: Kustomization. Owns the Structs only; what a run does with them is in `reconcile`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from fleetbeat.api.appliers import Dependency, HealthCheckExpr, IgnoreRule, Image, KubeConfig, Patch
from fleetbeat.api.meta import (
    CommonMetadata,
    DefaultsToFalse,
    Duration,
    Int64,
    Inventory,
    LocalRef,
    NamespaceName,
    ObjectName,
    Part,
    Status,
    Time,
)

Affix = Annotated[str, Meta(min_length=1, max_length=200)]


class KustomizationSource(Part, frozen=True):
    """The source whose artifact is built."""

    kind: Literal["OCIRepository", "GitRepository", "Bucket", "ExternalArtifact"]
    """Kind of the referent."""
    name: str
    """Name of the referent."""
    api_version: str | None = None
    """API version of the referent."""
    namespace: str | None = None
    """Namespace of the referent; default own."""


class Decryption(Part, frozen=True):
    """How encrypted files and objects are read."""

    provider: Literal["sops"]
    """What they are encrypted with."""
    secret_ref: LocalRef | None = None
    """Secret with the keys: `*.asc`, `*.agekey` or `sops.*` credentials of a cloud."""
    service_account_name: str | None = None
    """ServiceAccount that is the identity towards a cloud's key service."""


class HealthCheck(Part, frozen=True):
    """An object to wait for."""

    kind: str
    """Kind of the object."""
    name: str
    """Name of the object."""
    api_version: str | None = None
    """API version of the object; default apps/v1."""
    namespace: str | None = None
    """Namespace of the object; default that of the Kustomization."""


class SubstituteReference(Part, frozen=True):
    """A ConfigMap or Secret whose entries are variables."""

    kind: Literal["Secret", "ConfigMap"]
    """Kind of the referent."""
    name: ObjectName
    """Name of the referent."""
    optional: DefaultsToFalse = False
    """Go on when it does not exist."""


class PostBuild(Part, frozen=True):
    """Variables that are put into the built manifests."""

    substitute: dict[str, str] = {}
    """Variables given here; they win over those of substituteFrom."""
    substitute_from: tuple[SubstituteReference, ...] = ()
    """ConfigMaps and Secrets with variables; later ones win."""
    substitute_strategy: Literal["WithVariables", "Always"] | None = None
    """WithVariables (default) leaves the manifests alone while there is no variable; Always does not."""


class KustomizationSpec(Part, frozen=True):
    """What is built from which source, and how it is applied to which cluster."""

    prune: bool
    """Delete objects that the source no longer has."""
    source_ref: KustomizationSource
    """The source whose artifact is built."""
    build_metadata: tuple[Literal["originAnnotations", "transformerAnnotations"], ...] = ()
    """Annotations by which kustomize tells where an object comes from."""
    common_metadata: CommonMetadata | None = None
    """Labels and annotations of every object, set after the build."""
    components: tuple[str, ...] = ()
    """Directories of kustomize components, relative to the path."""
    decryption: Decryption | None = None
    """How encrypted files and objects are read."""
    deletion_policy: Literal["MirrorPrune", "Delete", "WaitForTermination", "Orphan"] | None = None
    """What becomes of the objects when the Kustomization is deleted; MirrorPrune (default) does as `prune` says."""
    depends_on: tuple[Dependency, ...] = ()
    """Kustomizations that must be ready first."""
    force: DefaultsToFalse = False
    """Delete and create anew an object whose change the API server rejects as immutable."""
    health_check_exprs: tuple[HealthCheckExpr, ...] = ()
    """How the health of custom resources is read."""
    health_checks: tuple[HealthCheck, ...] = ()
    """Objects to wait for; `wait` replaces the list by everything applied."""
    ignore: tuple[IgnoreRule, ...] = ()
    """Fields that are neither applied nor seen as drift."""
    ignore_missing_components: bool = False
    """Leave out components whose directory does not exist."""
    images: tuple[Image, ...] = ()
    """Other names, tags or digests for images."""
    interval: Duration = "5m"
    """Time between two runs when nothing else asks for one."""
    kube_config: KubeConfig | None = None
    """Another cluster than the hub."""
    name_prefix: Affix | None = None
    """Put before every object's name."""
    name_suffix: Affix | None = None
    """Put after every object's name."""
    patches: tuple[Patch, ...] = ()
    """Patches, applied after those of the source."""
    path: str | None = None
    """Directory in the artifact; default its root."""
    post_build: PostBuild | None = None
    """Variables that are put into the built manifests."""
    retry_interval: Duration | None = None
    """Time until the next run after a failure; default the interval."""
    service_account_name: str | None = None
    """ServiceAccount in the own namespace that everything is done as, on the target cluster."""
    suspend: bool = False
    """Do nothing until it is false again."""
    target_namespace: NamespaceName | None = None
    """Namespace that every namespaced object is moved into."""
    timeout: Duration | None = None
    """Limit of building, of applying and of waiting for health; default the interval less 30 s, at least 30 s."""
    wait: bool = False
    """Be ready only when everything applied is healthy."""


class HistoryEntry(Part, frozen=True):
    """Runs that built the same and ended the same."""

    digest: str
    """Digest of what was built."""
    first_reconciled: Time
    """End of the first run."""
    last_reconciled: Time
    """End of the last run."""
    last_reconciled_duration: str
    """How long the last run took."""
    last_reconciled_status: str
    """Reason of Ready at its end."""
    total_reconciliations: Int64
    """How many there were."""
    metadata: dict[str, str] = {}
    """More about the run, such as its revision."""


class KustomizationStatus(Status, frozen=True):
    """What was applied, and how that went."""

    history: tuple[HistoryEntry, ...] = ()
    """The last five different outcomes, newest first."""
    inventory: Inventory | None = None
    """What is applied."""
    last_applied_origin_revision: str | None = None
    """What the applied revision was made from upstream."""
    last_applied_revision: str | None = None
    """Source revision of the last run that succeeded entirely."""
    last_attempted_revision: str | None = None
    """Source revision that was built last."""
