"""How a HelmRelease is installed, upgraded, tested, rolled back and uninstalled. Owns the Structs only."""

from __future__ import annotations

from typing import Literal

from fleetbeat.api.meta import Duration, ObjectName, Part, Rule

CRDPolicy = Literal["Skip", "Create", "CreateReplace"]
"""What becomes of the chart's crds directory: nothing, create what is missing, or replace as well."""
Switch = Literal["enabled", "disabled", "auto"]
"""auto does as the release before."""


class Strategy(Part, frozen=True):
    """What follows a failed action."""

    rules = (
        Rule(
            "!has(self.retryInterval) || self.name == 'RetryOnFailure'",
            "retryInterval is for the strategy RetryOnFailure only",
        ),
    )

    name: Literal["RemediateOnFailure", "RetryOnFailure"]
    """RemediateOnFailure does as `remediation` says, RetryOnFailure tries again."""
    retry_interval: Duration | None = None
    """Time until the next try; default 5m."""


class InstallRemediation(Part, frozen=True):
    """How often a failed installation is tried again, each time after an uninstallation."""

    ignore_test_failures: bool | None = None
    """Do not count a failed test; default test.ignoreFailures."""
    remediate_last_failure: bool | None = None
    """Uninstall also after the last try; default false."""
    retries: int = 0
    """Further tries; negative for no limit."""


class UpgradeRemediation(Part, frozen=True):
    """How often a failed upgrade is tried again, and what happens in between."""

    ignore_test_failures: bool | None = None
    """Do not count a failed test; default test.ignoreFailures."""
    remediate_last_failure: bool | None = None
    """Remediate also after the last try; default true when there are retries."""
    retries: int = 0
    """Further tries; negative for no limit."""
    strategy: Literal["rollback", "uninstall"] | None = None
    """What happens in between; default rollback."""


class Install(Part, frozen=True):
    """The first release."""

    crds: CRDPolicy | None = None
    """What becomes of the chart's crds directory; default Create."""
    create_namespace: bool = False
    """Create the target namespace when it does not exist."""
    disable_hooks: bool = False
    """Run no hooks."""
    disable_openapi_validation: bool = False
    """Do not check the manifests against the cluster's schemas."""
    disable_schema_validation: bool = False
    """Do not check the values against the chart's schema."""
    disable_take_ownership: bool = False
    """Fail on objects that exist already, instead of taking them over."""
    disable_wait: bool = False
    """Do not wait for the objects to be ready."""
    disable_wait_for_jobs: bool = False
    """Do not wait for Jobs to complete."""
    remediation: InstallRemediation | None = None
    """How often a failure is tried again."""
    replace: bool = False
    """Use a release name again that a deleted release has left."""
    server_side_apply: bool | None = None
    """Write by server-side apply; default true."""
    skip_crds: bool = False
    """Deprecated; use crds."""
    strategy: Strategy | None = None
    """What follows a failure."""
    timeout: Duration | None = None
    """Limit of each operation; default spec.timeout."""


class Upgrade(Part, frozen=True):
    """Every later release."""

    chart_name_change_strategy: Literal["InPlaceUpdate", "Reinstall"] | None = None
    """What happens when the chart has another name; default Reinstall."""
    cleanup_on_fail: bool = False
    """Delete what a failed upgrade created."""
    crds: CRDPolicy | None = None
    """What becomes of the chart's crds directory; default Create."""
    disable_hooks: bool = False
    """Run no hooks."""
    disable_openapi_validation: bool = False
    """Do not check the manifests against the cluster's schemas."""
    disable_schema_validation: bool = False
    """Do not check the values against the chart's schema."""
    disable_take_ownership: bool = False
    """Fail on objects that others own, instead of taking them over."""
    disable_wait: bool = False
    """Do not wait for the objects to be ready."""
    disable_wait_for_jobs: bool = False
    """Do not wait for Jobs to complete."""
    force: bool = False
    """Replace objects instead of patching them; without effect on server-side apply."""
    preserve_values: bool = False
    """Merge the values over those of the release before."""
    remediation: UpgradeRemediation | None = None
    """How often a failure is tried again, and what happens in between."""
    server_side_apply: Switch | None = None
    """Write by server-side apply; default auto."""
    strategy: Strategy | None = None
    """What follows a failure."""
    timeout: Duration | None = None
    """Limit of each operation; default spec.timeout."""


class Rollback(Part, frozen=True):
    """The way back to the release before."""

    cleanup_on_fail: bool = False
    """Delete what a failed rollback created."""
    disable_hooks: bool = False
    """Run no hooks."""
    disable_wait: bool = False
    """Do not wait for the objects to be ready."""
    disable_wait_for_jobs: bool = False
    """Do not wait for Jobs to complete."""
    force: bool = False
    """Replace objects instead of patching them; without effect on server-side apply."""
    recreate: bool = False
    """Deprecated; without effect."""
    server_side_apply: Switch | None = None
    """Write by server-side apply; default auto."""
    timeout: Duration | None = None
    """Limit of each operation; default spec.timeout."""


class TestFilter(Part, frozen=True):
    """A test to run or to leave out."""

    __test__ = False

    name: ObjectName
    """Name of the test."""
    exclude: bool = False
    """Leave it out."""


class HelmTest(Part, frozen=True):
    """The chart's tests."""

    enable: bool = False
    """Run them after an installation or upgrade."""
    filters: tuple[TestFilter, ...] = ()
    """Which of them; default all."""
    ignore_failures: bool = False
    """A failed test neither makes the release unready nor remediates."""
    timeout: Duration | None = None
    """Limit of each operation; default spec.timeout."""


class Uninstall(Part, frozen=True):
    """The end of the release."""

    deletion_propagation: Literal["background", "foreground", "orphan"] = "background"
    """How Kubernetes deletes what depends on the objects."""
    disable_hooks: bool = False
    """Run no hooks."""
    disable_wait: bool = False
    """Do not wait until the objects are gone."""
    keep_history: bool = False
    """Keep the records of the releases."""
    timeout: Duration | None = None
    """Limit of each operation; default spec.timeout."""
