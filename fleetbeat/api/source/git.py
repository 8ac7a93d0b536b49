"""GitRepository. Owns the Structs only; fetching is in `sources.git`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from fleetbeat.api.meta import Artifact, Duration, LocalRef, Part, Rule, ShortDuration
from fleetbeat.api.source.common import SourceStatus


class GitRef(Part, frozen=True):
    """What to check out, the first that is set of: commit, name, tag, semver, branch; else branch `master`."""

    branch: str | None = None
    """Branch; with `commit` the branch that has it."""
    commit: str | None = None
    """Full SHA of a commit."""
    name: str | None = None
    """Full reference, such as `refs/heads/x`, `refs/tags/x`, `refs/pull/1/head` or `refs/merge-requests/1/head`."""
    semver: str | None = None
    """Range of versions; the highest tag in it."""
    tag: str | None = None
    """Tag."""


class GitInclude(Part, frozen=True):
    """Another GitRepository of the same namespace whose content is copied into this one."""

    repository: LocalRef
    """The GitRepository."""
    from_path: str | None = None
    """Directory to copy; default its root."""
    to_path: str | None = None
    """Directory to copy into; default the name of the GitRepository."""


class GitVerify(Part, frozen=True):
    """Signatures that must hold."""

    secret_ref: LocalRef
    """Secret with public keys: `*.sshpub` for SSH, all others for PGP."""
    mode: Literal["head", "HEAD", "Tag", "TagAndHEAD"] = "HEAD"
    """What must be signed: the commit, the tag or both."""


class GitRepositorySpec(Part, frozen=True):
    """Which revision of which repository becomes the artifact."""

    rules = (
        Rule(
            "!has(self.serviceAccountName) || (has(self.provider) && self.provider in ['aws', 'azure'])",
            "spec.serviceAccountName is for provider aws or azure only",
        ),
    )

    interval: Duration
    """Time between two looks at the repository."""
    url: Annotated[str, Meta(pattern=r"^(http|https|ssh)://.*$")]
    """URL with scheme http, https or ssh."""
    ignore: str | None = None
    """Patterns as in .gitignore of files to leave out; they replace the default ones."""
    include: tuple[GitInclude, ...] = ()
    """Other GitRepositories whose content is copied into this one."""
    provider: Literal["generic", "aws", "azure", "github"] | None = None
    """Where credentials come from: the Secret (generic, default), a workload identity (aws, azure) or a GitHub App."""
    proxy_secret_ref: LocalRef | None = None
    """Secret with the proxy's `address`, and `username` and `password` if it wants them."""
    recurse_submodules: bool = False
    """Fetch submodules too. Credentials go to those on the same scheme, host and port as `url` only."""
    ref: GitRef | None = None
    """What to check out; default branch `master`."""
    secret_ref: LocalRef | None = None
    """Secret with `username` and `password`, or `bearerToken`, or `identity` and `known_hosts`, or a GitHub App's keys;
    besides these `ca.crt`, `tls.crt` and `tls.key`."""
    service_account_name: str | None = None
    """ServiceAccount whose workload identity is used, with provider aws or azure."""
    sparse_checkout: tuple[str, ...] = ()
    """Directories to check out; every one must exist. Default all."""
    suspend: bool = False
    """Do nothing until it is false again."""
    timeout: ShortDuration = "60s"
    """Limit of one operation on the repository."""
    verify: GitVerify | None = None
    """Signatures that must hold."""


class GitRepositoryStatus(SourceStatus, frozen=True):
    """What was fetched, and with which settings."""

    included_artifacts: tuple[Artifact, ...] = ()
    """Artifacts that were copied in, in the order of spec.include."""
    observed_ignore: str | None = None
    """spec.ignore of the artifact."""
    observed_include: tuple[GitInclude, ...] = ()
    """spec.include of the artifact."""
    observed_recurse_submodules: bool = False
    """spec.recurseSubmodules of the artifact."""
    observed_sparse_checkout: tuple[str, ...] = ()
    """spec.sparseCheckout of the artifact."""
    source_verification_mode: str | None = None
    """What was verified of the artifact."""
