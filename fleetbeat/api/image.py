"""image.toolkit.fluxcd.io: ImageRepository, ImagePolicy, ImageUpdateAutomation. Owns the Structs only."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from fleetbeat.api.meta import (
    AccessFrom,
    Duration,
    LocalRef,
    NamespacedRef,
    Part,
    Rule,
    ShortDuration,
    Status,
    Time,
)
from fleetbeat.api.source.common import CloudProvider
from fleetbeat.api.source.git import GitRef


class ImageRepositorySpec(Part, frozen=True):
    """Which image's tags are read."""

    image: str
    """Image name without tag."""
    interval: Duration
    """Time between two looks at the registry."""
    access_from: AccessFrom | None = None
    """Other namespaces whose ImagePolicies may refer to it."""
    cert_secret_ref: LocalRef | None = None
    """Secret with `ca.crt`, `tls.crt` and `tls.key`."""
    exclusion_list: Annotated[tuple[str, ...], Meta(max_length=25)] = (r"^.*\.sig$",)
    """Regular expressions of tags that are left out."""
    insecure: bool = False
    """Allow plain HTTP."""
    provider: CloudProvider = "generic"
    """Where credentials come from."""
    proxy_secret_ref: LocalRef | None = None
    """Secret with the proxy's `address`, and `username` and `password` if it wants them."""
    secret_ref: LocalRef | None = None
    """Secret of type kubernetes.io/dockerconfigjson."""
    service_account_name: Annotated[str, Meta(max_length=253)] | None = None
    """ServiceAccount whose image pull secrets or workload identity are used."""
    suspend: bool = False
    """Do nothing until it is false again."""
    timeout: ShortDuration | None = None
    """Limit of one look; default the interval."""


class ScanResult(Part, frozen=True):
    """What the registry said."""

    tag_count: int
    """How many tags there are."""
    latest_tags: tuple[str, ...] = ()
    """The ten highest of them."""
    revision: str | None = None
    """Checksum of the list of tags."""
    scan_time: Time | None = None
    """When the registry was asked."""


class ImageRepositoryStatus(Status, frozen=True):
    """What the registry said last."""

    canonical_image_name: str | None = None
    """Image name with everything that spec.image leaves to defaults."""
    last_scan_result: ScanResult | None = None
    """What the registry said last."""
    observed_exclusion_list: tuple[str, ...] = ()
    """spec.exclusionList of the last look."""


class FilterTags(Part, frozen=True):
    """Which tags take part, and what of them is compared."""

    extract: str | None = None
    """What is compared, made of the pattern's groups such as `$name`; default the whole tag."""
    pattern: str | None = None
    """Regular expression that a tag must match."""


class SemverPolicy(Part, frozen=True):
    """The highest version."""

    range: str
    """Range of versions that may be chosen."""


class AlphabeticalPolicy(Part, frozen=True):
    """By the alphabet."""

    order: Literal["asc", "desc"] = "asc"
    """asc chooses the last, desc the first."""


class NumericalPolicy(Part, frozen=True):
    """By number."""

    order: Literal["asc", "desc"] = "asc"
    """asc chooses the biggest, desc the smallest."""


class PolicyChoice(Part, frozen=True):
    """How the tag is chosen; exactly one of them."""

    alphabetical: AlphabeticalPolicy | None = None
    """By the alphabet."""
    numerical: NumericalPolicy | None = None
    """By number."""
    semver: SemverPolicy | None = None
    """The highest version."""


class ImagePolicySpec(Part, frozen=True):
    """Which tag of an image is the one to use."""

    rules = (
        Rule(
            "has(self.interval) == (has(self.digestReflectionPolicy) && self.digestReflectionPolicy == 'Always')",
            "digestReflectionPolicy Always, and it alone, needs spec.interval",
        ),
    )

    image_repository_ref: NamespacedRef
    """The ImageRepository that has the tags."""
    policy: PolicyChoice
    """How the tag is chosen."""
    digest_reflection_policy: Literal["Always", "IfNotPresent", "Never"] = "Never"
    """Whether the tag's digest is looked up: at every interval, once for a tag, or never."""
    filter_tags: FilterTags | None = None
    """Which tags take part."""
    interval: Duration | None = None
    """Time between two looks at the tag's digest."""
    suspend: bool = False
    """Do nothing until it is false again."""


class ImageRef(Part, frozen=True):
    """An image."""

    name: str
    """Name without tag."""
    tag: str
    """Tag."""
    digest: str | None = None
    """Digest."""


class ImagePolicyStatus(Status, frozen=True):
    """What was chosen."""

    latest_ref: ImageRef | None = None
    """The image to use."""
    observed_previous_ref: ImageRef | None = None
    """The image to use before that."""


class AutomationSource(Part, frozen=True):
    """The repository that is written to."""

    name: str
    """Name of the referent."""
    api_version: str | None = None
    """API version of the referent."""
    kind: Literal["GitRepository"] = "GitRepository"
    """Kind of the referent."""
    namespace: str | None = None
    """Namespace of the referent; default own."""


class CommitAuthor(Part, frozen=True):
    """Author and committer."""

    email: str
    """E-mail address."""
    name: str | None = None
    """Name."""


class SigningKey(Part, frozen=True):
    """Key that commits are signed with."""

    secret_ref: LocalRef
    """Secret with `git.asc` and `passphrase` for gpg, or `identity` and `password` for ssh."""
    type: Literal["gpg", "ssh"] | None = None
    """Kind of the key; default gpg."""


class CommitSpec(Part, frozen=True):
    """How commits are made."""

    author: CommitAuthor
    """Author and committer."""
    message_template: str | None = None
    """Template of the message, in the language of Go's text/template."""
    message_template_values: dict[str, str] = {}
    """What the template reads as `.Values`."""
    signing_key: SigningKey | None = None
    """Key that commits are signed with."""


class GitCheckout(Part, frozen=True):
    """Where the work begins."""

    ref: GitRef
    """What to check out."""


class GitPush(Part, frozen=True):
    """Where the work ends."""

    branch: str | None = None
    """Branch to push to; default the one that was checked out."""
    options: dict[str, str] = {}
    """Push options for the server."""
    refspec: str | None = None
    """Refspec that is pushed too."""


class GitSpec(Part, frozen=True):
    """What is checked out, committed and pushed."""

    commit: CommitSpec
    """How commits are made."""
    checkout: GitCheckout | None = None
    """Where the work begins; default spec.ref of the GitRepository."""
    push: GitPush | None = None
    """Where the work ends; default where it began."""


class LabelRequirement(Part, frozen=True):
    """What must hold of a label."""

    key: str
    """The label."""
    operator: str
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[tuple[str, ...], Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})] = ()
    """Values for In and NotIn."""


class LabelSelector(Part, frozen=True):
    """Objects by their labels; everything in it must hold."""

    schema = {"x-kubernetes-map-type": "atomic"}

    match_expressions: Annotated[
        tuple[LabelRequirement, ...], Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})
    ] = ()
    """What must hold of labels."""
    match_labels: dict[str, str] = {}
    """Labels that must be carried."""


class UpdateStrategy(Part, frozen=True):
    """How files are changed."""

    path: str | None = None
    """Directory whose files are changed; default the root."""
    strategy: Literal["Setters"] = "Setters"
    """Setters changes what a comment marks with the name of an ImagePolicy."""


class ImageUpdateAutomationSpec(Part, frozen=True):
    """Which repository is kept in step with which ImagePolicies."""

    interval: Duration
    """Time between two runs."""
    source_ref: AutomationSource
    """The repository that is written to."""
    git: GitSpec | None = None
    """What is checked out, committed and pushed."""
    policy_selector: LabelSelector | None = None
    """ImagePolicies of the own namespace that are followed; default all."""
    suspend: bool = False
    """Do nothing until it is false again."""
    update: UpdateStrategy = UpdateStrategy()
    """How files are changed."""


class ImageUpdateAutomationStatus(Status, frozen=True):
    """What was pushed."""

    last_automation_run_time: Time | None = None
    """End of the last run."""
    last_push_commit: str | None = None
    """SHA of the commit that was pushed last."""
    last_push_time: Time | None = None
    """When it was pushed."""
    observed_policies: dict[str, ImageRef] = {}
    """What the ImagePolicies had chosen, by their names."""
    observed_source_revision: str | None = None
    """Revision of the repository in the last run."""
