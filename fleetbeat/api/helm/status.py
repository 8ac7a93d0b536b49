"""HelmReleaseStatus: what was released, and how that went. Owns the Structs only."""

from __future__ import annotations

from typing import Literal

from fleetbeat.api.meta import Int64, Inventory, NamespaceName, Part, Status, Time


class TestHookStatus(Part, frozen=True):
    """A test and its outcome."""

    __test__ = False

    last_completed: Time | None = None
    """When it ended last."""
    last_started: Time | None = None
    """When it began last."""
    phase: str | None = None
    """How it ended."""


class ReleaseSnapshot(Part, frozen=True):
    """A release as Helm's storage has it."""

    chart_name: str
    """Name of the chart."""
    chart_version: str
    """Version of the chart."""
    config_digest: str
    """Digest of the values."""
    digest: str
    """Digest of the whole record."""
    first_deployed: Time
    """When the first release of the name was made."""
    last_deployed: Time
    """When this one was made."""
    name: str
    """Name of the release."""
    namespace: str
    """Namespace of the release."""
    status: str
    """Helm's word for its state."""
    version: int
    """Number of the release."""
    action: str | None = None
    """What made it."""
    api_version: str | None = None
    """Form of the digest."""
    app_version: str | None = None
    """Version of what the chart installs."""
    deleted: Time | None = None
    """When it was uninstalled."""
    oci_digest: str | None = None
    """Digest of the chart in its registry."""
    test_hooks: dict[str, TestHookStatus] = {}
    """The chart's tests, by name."""


class HelmReleaseStatus(Status, frozen=True):
    """What was released, and how that went."""

    failures: Int64 = 0
    """Failures in a row."""
    helm_chart: str | None = None
    """The HelmChart that was made for it, as namespace/name."""
    history: tuple[ReleaseSnapshot, ...] = ()
    """Releases, newest first."""
    install_failures: Int64 = 0
    """Failed installations that count as tries."""
    inventory: Inventory | None = None
    """What the release consists of, without hooks."""
    last_attempted_config_digest: str | None = None
    """Digest of the values that were tried last."""
    last_attempted_generation: Int64 = 0
    """Generation that was tried last."""
    last_attempted_release_action: Literal["install", "upgrade"] | None = None
    """What was tried last."""
    last_attempted_release_action_duration: str | None = None
    """How long that took."""
    last_attempted_revision: str | None = None
    """Version of the chart that was tried last."""
    last_attempted_revision_digest: str | None = None
    """Digest of the chart that was tried last, in its registry."""
    last_attempted_values_checksum: str | None = None
    """Deprecated; lastAttemptedConfigDigest."""
    last_handled_force_at: str | None = None
    """The `reconcile.fluxcd.io/forceAt` annotation as the last attempt found it."""
    last_handled_reset_at: str | None = None
    """The `reconcile.fluxcd.io/resetAt` annotation as the last attempt found it."""
    last_release_revision: int = 0
    """Deprecated; history."""
    observed_common_metadata_digest: str | None = None
    """Digest of the labels and annotations that were released last."""
    observed_post_renderers_digest: str | None = None
    """Digest of the post renderers that were released last."""
    storage_namespace: NamespaceName | None = None
    """Namespace of the records of releases."""
    upgrade_failures: Int64 = 0
    """Failed upgrades that count as tries."""
