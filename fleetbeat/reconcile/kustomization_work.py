"""The workbench of a Kustomization run, and the parts of its status.

The properties name what steps leave for each other; reading one before its step ran is a bug in the order of steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any, TypeVar

from fleetbeat.api.kustomize import KustomizationSpec
from fleetbeat.api.meta import LINKS_KEY, parse_duration
from fleetbeat.api.refs import ObjectId, Ref, split_api_version
from fleetbeat.kube import brake, marks
from fleetbeat.kube.apply import ApplyResult, Change
from fleetbeat.kube.ignoring import Rule
from fleetbeat.kube.ledger import Applied, Held, Ledger, LedgerEntry
from fleetbeat.kube.options import ApplyOptions
from fleetbeat.kube.order import rank
from fleetbeat.kube.reach import Reach
from fleetbeat.kube.target import Target
from fleetbeat.reconcile import former
from fleetbeat.reconcile.consumed import order_of
from fleetbeat.reconcile.healthrules import Rules
from fleetbeat.reconcile.history import record
from fleetbeat.reconcile.outcome import Status
from fleetbeat.reconcile.run import Work
from fleetbeat.reconcile.status import now_text
from fleetbeat.render.kustomize import Rendered
from fleetbeat.render.sops.keys import Keys

DEFAULT_INTERVAL = 300.0
LEAST_TIMEOUT = 30.0
RETRY_SOON = 30.0
"""Seconds until another look at something that a poke usually announces first."""
NOT_ATTEMPTED = ("ArtifactFailed", "DependencyNotReady", "AccessDenied", "InvalidCELExpression")
"""Outcomes of which the artifact's revision does not count as attempted."""
SUCCEEDED = "ReconciliationSucceeded"
"""Reason of a success, in the Ready condition, the history and the event."""
REVISION_KEY = "kustomize.toolkit.fluxcd.io/revision"
ORIGIN_KEY = "kustomize.toolkit.fluxcd.io/originRevision"
COMMIT_STATUS_KEY = "kustomize.toolkit.fluxcd.io/commit_status"
"""In the metadata of a success event: meant for the commit's status at the Git provider, not for chat."""

T = TypeVar("T")


def _set(value: T | None, name: str) -> T:
    if value is None:
        raise AssertionError(f"{name} is read before the step that sets it")
    return value


@dataclass
class KustomizationWork(Work[KustomizationSpec]):
    """What the steps of the pipeline leave for each other."""

    source: Ref | None = None
    artifact: dict[str, Any] | None = None
    target: Target | None = None
    ledger: Ledger | None = None
    presumed: bool = False
    """True while nobody has asked the cluster whether the ledger is this one, which its next save shows."""
    known_before: bool = False
    """True when the ledger existed when the run began: only then may it prune."""
    file: Path | None = None
    variables: dict[str, str] | None = field(default=None, repr=False)
    keys: Keys | None = None
    """What decrypts; None where spec.decryption is not set."""
    rendered: Rendered | None = field(default=None, repr=False)
    result: ApplyResult | None = None
    changes: tuple[Change, ...] = ()
    kept: dict[ObjectId, LedgerEntry] = field(default_factory=dict)
    """Stale objects that stay in the inventory because they were not deleted."""
    pruning_failed: str = ""
    held: Held | None = None
    """What the prune brake holds, or what was confirmed and could not be deleted yet."""
    moved: tuple[str, ...] = ()
    """Places that the resource was moved away from; the ledger here learns of them before the first write."""
    cycle: list[str] = field(default_factory=list)
    """The dependencies from this ref back to itself, both ends included, where they wait for each other."""
    rules: Rules = field(default_factory=dict)
    """What `spec.healthCheckExprs` says."""
    ignore: tuple[Rule, ...] = ()
    """What `spec.ignore` says."""
    waited: dict[str, Any] = field(default_factory=dict)
    """The health wait that this whole run interrupts and goes on with."""
    cancelled: bool = False
    """True when this run ends the health wait for something older."""
    resumed: dict[str, Any] = field(default_factory=dict)
    """What the run that applied left for this one, which only looks at health again: `digest`, `inventory`."""

    @property
    def got(self) -> dict[str, Any]:
        """The source's artifact."""
        return _set(self.artifact, "artifact")

    @property
    def on(self) -> Target:
        """The target cluster."""
        return _set(self.target, "target")

    @property
    def book(self) -> Ledger:
        """The ledger as last loaded or saved."""
        return _set(self.ledger, "ledger")

    @property
    def built(self) -> Rendered:
        """The render."""
        return _set(self.rendered, "rendered")

    @property
    def done(self) -> ApplyResult:
        """What apply did."""
        return _set(self.result, "result")

    @property
    def left_out(self) -> list[str]:
        """Paths of symbolic links that the artifact does not have, the first few."""
        return str((self.got.get("metadata") or {}).get(LINKS_KEY, "")).splitlines()

    @property
    def revision(self) -> str:
        """The source revision of this run."""
        return str(self.got["revision"])

    @property
    def origin(self) -> str:
        """What the source's artifact was made from upstream; "" when the source does not say."""
        return str((self.got.get("metadata") or {}).get("org.opencontainers.image.revision") or "")

    @property
    def source_id(self) -> str:
        """The source and its uid: a source that was made anew starts a new order of artifacts."""
        return order_of(_set(self.source, "source"), self.got)

    @property
    def source_fence(self) -> int:
        """The fence of the source run that made the artifact, or what stands for it."""
        return int(self.got["fence"])

    @property
    def applying(self) -> Applied:
        """The artifact of this run as the ledger notes it."""
        return Applied(self.source_id, self.revision, str(self.got["digest"]), self.source_fence)

    @property
    def metadata(self) -> dict[str, str]:
        """What events carry."""
        if not self.artifact:
            return {}
        return {REVISION_KEY: self.revision} | ({ORIGIN_KEY: self.origin} if self.origin else {})

    @property
    def took(self) -> float:
        """Seconds since the attempt began; a health wait that this run continues counts."""
        return time() - self.resumed["began"] if "began" in self.resumed else self.seconds

    @property
    def interval(self) -> float:
        """Seconds between runs."""
        return parse_duration(self.spec.interval) if self.spec.interval else DEFAULT_INTERVAL

    @property
    def retry(self) -> float:
        """Seconds until the run after a failed one."""
        return parse_duration(self.spec.retry_interval) if self.spec.retry_interval else self.interval

    @property
    def timeout(self) -> float:
        """Seconds that the build and the health wait may take, each; never less than LEAST_TIMEOUT, as with Flux."""
        asked = parse_duration(self.spec.timeout) if self.spec.timeout else self.interval - LEAST_TIMEOUT
        return max(asked, LEAST_TIMEOUT)

    @property
    def reach(self) -> Reach:
        """The cluster that `spec.kubeConfig` names."""
        return Reach.of_spec(self.ref.namespace, self.obj["spec"])

    @property
    def annotations(self) -> dict[str, str]:
        """Of the resource itself."""
        return self.obj["metadata"].get("annotations") or {}

    @property
    def prune_limits(self) -> brake.Limits:
        """From where on deletions need a confirmation: the annotation's, else the installation's."""
        default = brake.Limits.parse(self.ctx.settings.prune_brake, "FLEETBEAT_PRUNE_BRAKE")
        text = self.annotations.get(brake.LIMITS, "")
        return brake.Limits.parse(text, f"annotation {brake.LIMITS}", default) if text else default

    @property
    def account(self) -> str:
        """`namespace:name` of the impersonated service account, "" for Fleetbeat's own."""
        name = self.spec.service_account_name or self.ctx.settings.default_service_account
        return f"{self.ref.namespace}:{name}" if name else ""

    @property
    def selector(self) -> str:
        """Selects this Kustomization's objects."""
        return marks.selector(self.ref)

    def options(self, **more: Any) -> ApplyOptions:
        """What every apply and prune of this run has in common, and `more`."""
        settings = self.ctx.settings
        return ApplyOptions(
            owner=self.ref,
            hub_id=self.ctx.hub_id,
            uid=self.uid if self.reach.place else "",
            guard=self.lease.check,
            overridden=settings.override_managers,
            early=frozenset(split_api_version(kind) for kind in settings.custom_apply_stage_kinds),
            **more,
        )

    def tell_spared(self, spared: Iterable[str]) -> None:
        """What a prune left to somebody else."""
        lines = "\n".join(spared)
        if lines:
            self.event("PruneFailed", lines, warning=True, metadata=self.metadata)


def inventory(work: KustomizationWork) -> dict[str, Any]:
    """`status.inventory`: the ledger's ids in the order of apply, less what a failed run intended and never wrote.

    Whoever walks the inventory (`flux tree`) expects its objects to exist.
    """
    there = {change.id for change in work.changes}
    before = {entry["id"] for entry in (work.old.get("inventory") or {}).get("entries") or []}
    entries = [
        {"id": oid.inventory_id, "v": entry.version}
        for oid, entry in sorted(work.book.entries.items(), key=lambda item: rank(item[0]))
        if work.result is not None or entry.uid or oid in there or oid.inventory_id in before
    ]
    return {"entries": entries}


def fields(work: KustomizationWork, outcome: str | None) -> Status:
    """The parts of the status that an attempt moves; outcome: how it ended, None while it goes on."""
    moved: Status = {}
    if work.artifact is not None and outcome not in NOT_ATTEMPTED:
        moved["lastAttemptedRevision"] = work.revision
    if work.ledger is not None and work.ledger.exists:
        there = inventory(work)
        if there["entries"] or work.result is not None or work.old.get("inventory"):
            moved["inventory"] = there  # none at all until the first apply, as with Flux
    elif "inventory" in work.resumed:
        moved["inventory"] = work.resumed["inventory"]
    digest = work.rendered.digest if work.rendered is not None else work.resumed.get("digest")
    if digest and outcome:
        history = work.old.get("history") or []
        origin = {"originRevision": work.origin} if work.origin else {}
        metadata = {"revision": work.revision, **origin, **former.noted_place(work)}
        moved["history"] = record(history, digest, outcome, now_text(), work.took, metadata)
    return moved
