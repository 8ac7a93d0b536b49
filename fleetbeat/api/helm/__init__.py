"""helm.toolkit.fluxcd.io: HelmRelease. Owns the Structs only; all names are here."""

from fleetbeat.api.helm.actions import (
    HelmTest,
    Install,
    InstallRemediation,
    Rollback,
    Strategy,
    TestFilter,
    Uninstall,
    Upgrade,
    UpgradeRemediation,
)
from fleetbeat.api.helm.release import (
    ChartReference,
    ChartTemplate,
    ChartTemplateSource,
    ChartTemplateSpec,
    ChartTemplateVerify,
    DriftDetection,
    HelmReleaseSpec,
    KustomizePostRenderer,
    PostRenderer,
    ValuesReference,
    WaitStrategy,
)
from fleetbeat.api.helm.status import HelmReleaseStatus, ReleaseSnapshot, TestHookStatus

__all__ = [
    "ChartReference",
    "ChartTemplate",
    "ChartTemplateSource",
    "ChartTemplateSpec",
    "ChartTemplateVerify",
    "DriftDetection",
    "HelmReleaseSpec",
    "HelmReleaseStatus",
    "HelmTest",
    "Install",
    "InstallRemediation",
    "KustomizePostRenderer",
    "PostRenderer",
    "ReleaseSnapshot",
    "Rollback",
    "Strategy",
    "TestFilter",
    "TestHookStatus",
    "Uninstall",
    "Upgrade",
    "UpgradeRemediation",
    "ValuesReference",
    "WaitStrategy",
]
