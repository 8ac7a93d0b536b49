"""What a GitRepository asks for, checked: the URL, the reference to follow, what to leave out and what to add.

Owns the precedence commit → name → tag → semver → branch → `master`, and the refusal of everything that is not built
yet: a field that would make the artifact safer or different is never silently ignored. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from fleetbeat.api.source import GitInclude, GitRef, GitRepositorySpec, GitRepositoryStatus, GitVerify
from fleetbeat.errors import InvalidSpec, InvalidVerificationMode, UnsupportedProvider
from fleetbeat.sources.git import vendors
from fleetbeat.sources.git.address import checked_url, is_ssh


class Follow(Enum):
    """The ways to name a commit."""

    COMMIT = "commit"
    NAME = "name"
    TAG = "tag"
    SEMVER = "semver"
    BRANCH = "branch"


@dataclass(frozen=True)
class Target:
    """The reference to follow: `value` is the commit, full reference name, tag, range or branch."""

    follow: Follow
    value: str
    branch: str | None = None
    """With a commit: the branch that is said to have it; it appears in the revision."""


@dataclass(frozen=True)
class Include:
    """Content of another source: what is in its directory `source` goes into the directory `target`."""

    repository: str
    source: str
    """Relative path; empty for all of it."""
    target: str
    digest: str = ""
    """Of the other source's artifact; empty while it is not known."""


@dataclass(frozen=True)
class Plan:
    """A GitRepository's spec, ready to run."""

    url: str
    """Without password, so safe in messages; with a user where it is for SSH."""
    target: Target
    ignore: str | None
    directories: tuple[str, ...]
    """The only directories to take; empty takes all."""
    submodules: bool = False
    includes: tuple[Include, ...] = ()
    mode: str = ""
    """What must be signed: HEAD, Tag or TagAndHEAD; empty asks for no signature."""

    @classmethod
    def of(cls, spec: GitRepositorySpec, digests: Sequence[str] = ()) -> Plan:
        """`digests` are those of the included artifacts in the order of spec.include, as far as they are known.

        Raises InvalidURL, InvalidSpec or InvalidVerificationMode, naming the field.
        """
        url = checked_url(spec.url)
        _check_access(spec, url)
        target = _target(spec.ref or GitRef())
        return cls(
            url,
            target,
            spec.ignore,
            tuple(_directory(text) for text in spec.sparse_checkout),
            spec.recurse_submodules,
            includes_of(spec.include, digests),
            mode_of(spec.verify, target),
        )


@dataclass(frozen=True)
class Observed:
    """What the artifact in the store was made of; a run that would make the same has nothing to do."""

    revision: str
    ignore: str | None = None
    directories: tuple[str, ...] = ()
    submodules: bool = False
    includes: tuple[Include, ...] = ()
    proof: str = field(default="", compare=False)
    """Of the signatures that were checked last (see `verify`); empty when they are to be checked (again)."""

    @classmethod
    def of(cls, status: GitRepositoryStatus, proof: str = "") -> Observed | None:
        """From a GitRepository's status; None when it has no artifact, or one whose content is not told in full."""
        digests = tuple(artifact.digest for artifact in status.included_artifacts)
        if status.artifact is None or len(digests) != len(status.observed_include):
            return None
        try:
            directories = tuple(_directory(text) for text in status.observed_sparse_checkout)
            includes = includes_of(status.observed_include, digests)
        except InvalidSpec:  # another controller allowed what is refused here
            return None
        submodules = status.observed_recurse_submodules
        return cls(status.artifact.revision, status.observed_ignore, directories, submodules, includes, proof)

    def equals(self, plan: Plan, revision: str) -> bool:
        """Whether `plan` at `revision` makes the artifact that is there already."""
        return self == Observed(revision, plan.ignore, plan.directories, plan.submodules, plan.includes)


def includes_of(entries: Sequence[GitInclude], digests: Sequence[str] = ()) -> tuple[Include, ...]:
    """`spec.include`, checked; InvalidSpec for a path that leaves its repository."""
    known = [*digests, *[""] * (len(entries) - len(digests))]
    return tuple(
        Include(
            entry.repository.name,
            _include_path(entry.from_path or "", f"spec.include[{index}].fromPath"),
            _include_path(entry.to_path or entry.repository.name, f"spec.include[{index}].toPath"),
            known[index],
        )
        for index, entry in enumerate(entries)
    )


def _include_path(text: str, field_name: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in text:
        raise InvalidSpec(f"{field_name}: {text!r} leaves the repository; write a path without ..")
    return "/".join(parts)


def mode_of(verify: GitVerify | None, target: Target) -> str:
    """What must be signed; InvalidVerificationMode when it is a tag and the reference is none."""
    if verify is None:
        return ""
    mode = verify.mode if verify.mode != "head" else "HEAD"
    tagged = target.follow in (Follow.TAG, Follow.SEMVER) or (
        target.follow is Follow.NAME and target.value.startswith("refs/tags/")
    )
    if mode != "HEAD" and not tagged:
        raise InvalidVerificationMode(
            f"spec.verify.mode {mode} needs a tag: set spec.ref.tag, spec.ref.semver or a spec.ref.name of refs/tags/,"
            f" not spec.ref.{target.follow.value}, or use mode HEAD"
        )
    return mode


def _check_access(spec: GitRepositorySpec, url: str) -> None:
    """Whether URL, provider and Secrets can go together."""
    provider = spec.provider or "generic"
    if spec.service_account_name and provider not in ("aws", "azure"):
        raise InvalidSpec("spec.serviceAccountName is for provider aws or azure only; remove it, or set spec.provider")
    if provider in ("aws", "azure"):
        vendors.check(provider, url)
        if spec.secret_ref is not None:
            raise UnsupportedProvider(
                f"spec.provider {provider} excludes spec.secretRef: the identity of spec.serviceAccountName is used, or"
                " else the worker's own; remove spec.secretRef"
            )
    if is_ssh(url) and provider != "generic":
        raise UnsupportedProvider(f"spec.provider {provider} is for https URLs; remove it, or write an https URL")
    if is_ssh(url) and spec.secret_ref is None:
        raise InvalidSpec("spec.secretRef is missing: ssh needs a Secret with the keys identity and known_hosts")
    if provider == "github" and spec.secret_ref is None:
        raise UnsupportedProvider(
            "spec.secretRef is missing: provider github needs a Secret with the keys of a GitHub App"
        )


def _target(ref: GitRef) -> Target:
    if ref.commit:
        if not re.fullmatch("[0-9a-f]{40}", ref.commit):
            raise InvalidSpec(f"spec.ref.commit {ref.commit!r} is not a full SHA-1 of 40 lower-case hex digits")
        return Target(Follow.COMMIT, ref.commit, ref.branch or None)
    choices = ((Follow.NAME, ref.name), (Follow.TAG, ref.tag), (Follow.SEMVER, ref.semver), (Follow.BRANCH, ref.branch))
    follow, value = next(((follow, value) for follow, value in choices if value), (Follow.BRANCH, "master"))
    if follow is not Follow.SEMVER and (any(ord(character) <= 32 for character in value) or len(value) > 1024):
        raise InvalidSpec(f"spec.ref.{follow.value} is not the name of a Git reference")
    return Target(follow, value)


def _directory(text: str) -> str:
    path = text.removeprefix("./").strip("/")
    if not path or any(part in ("", ".", "..") for part in path.split("/")):
        raise InvalidSpec(f"spec.sparseCheckout: {text!r} is not a directory below the root of the repository")
    return path
