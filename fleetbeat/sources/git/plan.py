"""What a GitRepository asks for, checked: the URL, the reference to follow, what to leave out.

Owns the precedence commit → name → tag → semver → branch → `master`, and the refusal of everything that is not built
yet: a field that would make the artifact safer or different is never silently ignored. No I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit, urlunsplit

from fleetbeat.api.source import GitRef, GitRepositorySpec, GitRepositoryStatus
from fleetbeat.errors import InvalidSpec, InvalidURL


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
class Plan:
    """A GitRepository's spec, ready to run."""

    url: str
    """Without user and password, so safe in messages."""
    target: Target
    ignore: str | None
    directories: tuple[str, ...]
    """The only directories to take; empty takes all."""

    @classmethod
    def of(cls, spec: GitRepositorySpec) -> Plan:
        """Raises InvalidURL or InvalidSpec, naming the field."""
        _refuse_unsupported(spec)
        directories = tuple(_directory(text) for text in spec.sparse_checkout)
        return cls(_checked_url(spec.url), _target(spec.ref or GitRef()), spec.ignore, directories)


@dataclass(frozen=True)
class Observed:
    """What the artifact in the store was made of; a run that would make the same has nothing to do."""

    revision: str
    ignore: str | None = None
    directories: tuple[str, ...] = ()

    @classmethod
    def of(cls, status: GitRepositoryStatus) -> Observed | None:
        """From a GitRepository's status; None when it has no artifact, or one with included content or submodules."""
        if status.artifact is None or status.observed_include or status.observed_recurse_submodules:
            return None
        directories = tuple(_directory(text) for text in status.observed_sparse_checkout)
        return cls(status.artifact.revision, status.observed_ignore, directories)

    def equals(self, plan: Plan, revision: str) -> bool:
        """Whether `plan` at `revision` makes the artifact that is there already."""
        return self == Observed(revision, plan.ignore, plan.directories)


def _refuse_unsupported(spec: GitRepositorySpec) -> None:
    fields = {
        "verify": spec.verify is not None,
        "include": bool(spec.include),
        "recurseSubmodules": spec.recurse_submodules,
        "proxySecretRef": spec.proxy_secret_ref is not None,
        f"provider {spec.provider}": spec.provider not in (None, "generic"),
        "serviceAccountName": spec.service_account_name is not None,
    }
    found = [f"spec.{field}" for field, used in fields.items() if used]
    if found:
        raise InvalidSpec(f"{' and '.join(found)} not supported yet; remove it, or let Flux reconcile this object")


def _checked_url(text: str) -> str:
    """The URL without the user name that some servers put into it: who logs in stands in the Secret."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidURL(f"spec.url cannot be read: {error}") from None
    if parts.scheme == "ssh":
        raise InvalidURL("spec.url: ssh is not supported yet; use https with a token in the Secret")
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidURL("spec.url must be http://host/path or https://host/path")
    if parts.password is not None:
        raise InvalidURL("spec.url contains a password; move it to the Secret that spec.secretRef names")
    if parts.query or parts.fragment or any(ord(character) <= 32 for character in text):
        raise InvalidURL("spec.url must have neither a query, a fragment nor blanks")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc += f":{port}"
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))


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
