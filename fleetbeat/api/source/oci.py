"""OCIRepository. Owns the Structs only."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from fleetbeat.api.meta import Duration, LocalRef, Part, ShortDuration
from fleetbeat.api.source.common import CloudProvider, OIDCIdentity, SourceStatus


class OCIRef(Part, frozen=True):
    """What to pull, the first that is set of: digest, semver, tag; else tag `latest`."""

    digest: str | None = None
    """Digest, such as `sha256:…`."""
    semver: str | None = None
    """Range of versions; the highest tag in it."""
    semver_filter: str | None = None
    """Regular expression that a tag must match to be looked at for semver."""
    tag: str | None = None
    """Tag."""


class LayerSelector(Part, frozen=True):
    """Which layer becomes the artifact; default the first, unpacked."""

    media_type: str | None = None
    """The first layer of this media type."""
    operation: Literal["extract", "copy"] | None = None
    """extract (default) unpacks and archives anew, copy stores the layer as it is."""


class OCIVerify(Part, frozen=True):
    """Signatures that must hold."""

    match_oidc_identity: tuple[OIDCIdentity, ...] = ()
    """Who may have signed without a key; any of them."""
    provider: Literal["cosign", "notation"] = "cosign"
    """What it was signed with."""
    secret_ref: LocalRef | None = None
    """Secret with `*.pub` for cosign, or `trustpolicy.json` and certificates for notation; none for keyless cosign."""
    trusted_root_secret_ref: LocalRef | None = None
    """Secret with the `trusted_root.json` of a private Sigstore."""


class OCIRepositorySpec(Part, frozen=True):
    """Which artifact of which registry becomes ours."""

    interval: Duration
    """Time between two looks at the registry."""
    url: Annotated[str, Meta(pattern=r"^oci://.*$")]
    """`oci://host/path`, without tag or digest."""
    cert_secret_ref: LocalRef | None = None
    """Secret with `ca.crt`, `tls.crt` and `tls.key`."""
    ignore: str | None = None
    """Patterns as in .gitignore of files to leave out; they replace the default ones."""
    insecure: bool = False
    """Allow plain HTTP."""
    layer_selector: LayerSelector | None = None
    """Which layer becomes the artifact."""
    provider: CloudProvider = "generic"
    """Where credentials come from."""
    proxy_secret_ref: LocalRef | None = None
    """Secret with the proxy's `address`, and `username` and `password` if it wants them."""
    ref: OCIRef | None = None
    """What to pull; default tag `latest`."""
    secret_ref: LocalRef | None = None
    """Secret of type kubernetes.io/dockerconfigjson."""
    service_account_name: str | None = None
    """ServiceAccount whose image pull secrets or workload identity are used."""
    suspend: bool = False
    """Do nothing until it is false again."""
    timeout: ShortDuration = "60s"
    """Limit of one operation on the registry."""
    verify: OCIVerify | None = None
    """Signatures that must hold."""


class OCIRepositoryStatus(SourceStatus, frozen=True):
    """What was pulled, and with which settings."""

    observed_ignore: str | None = None
    """spec.ignore of the artifact."""
    observed_layer_selector: LayerSelector | None = None
    """spec.layerSelector of the artifact."""
    url: str | None = None
    """Where the latest artifact may be downloaded."""
