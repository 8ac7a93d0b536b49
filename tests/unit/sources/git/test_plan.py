"""A GitRepository's spec: precedence of references, what is refused, what counts as changed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fleetbeat.api.source import GitRepositorySpec, GitRepositoryStatus
from fleetbeat.errors import InvalidSpec, InvalidURL, Terminal
from fleetbeat.sources.git.plan import Follow, Observed, Plan

pytestmark = pytest.mark.unit

SHA = "0123456789abcdef0123456789abcdef01234567"


def spec(**fields: Any) -> GitRepositorySpec:
    return msgspec.convert({"interval": "1m", "url": "https://git.example/app", **fields}, GitRepositorySpec)


@pytest.mark.parametrize(
    ("ref", "follow", "value"),
    [
        (None, Follow.BRANCH, "master"),
        ({}, Follow.BRANCH, "master"),
        ({"branch": "main"}, Follow.BRANCH, "main"),
        ({"branch": "main", "semver": "*"}, Follow.SEMVER, "*"),
        ({"branch": "main", "semver": "*", "tag": "v1"}, Follow.TAG, "v1"),
        ({"tag": "v1", "name": "refs/pull/1/head"}, Follow.NAME, "refs/pull/1/head"),
        ({"name": "refs/heads/x", "commit": SHA}, Follow.COMMIT, SHA),
    ],
)
def test_precedence(ref: dict[str, str] | None, follow: Follow, value: str) -> None:
    """commit, name, tag, semver, branch, then `master`."""
    target = Plan.of(spec(ref=ref) if ref is not None else spec()).target
    assert (target.follow, target.value) == (follow, value)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://git.example/app/", "https://git.example/app"),
        ("https://org@dev.azure.com/org/p/_git/app", "https://dev.azure.com/org/p/_git/app"),
        ("http://Git.Example:3000/a.git", "http://git.example:3000/a.git"),
        ("https://[::1]:8443/a", "https://[::1]:8443/a"),
    ],
)
def test_urls(url: str, plain: str) -> None:
    """A user name is no part of where the repository is."""
    assert Plan.of(spec(url=url)).url == plain


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ssh://git@git.example/app", "ssh is not supported yet"),
        ("https://ann:SECRET@git.example/app", "contains a password"),
        ("https:///app", "must be http"),
        ("https://git.example:port/app", "cannot be read"),
        ("https://git.example/app?token=SECRET", "neither a query"),
        ("https://git.example/a b", "nor blanks|blanks"),
    ],
)
def test_urls_that_are_refused(url: str, message: str) -> None:
    """The refusal is final, names the fix and repeats no secret."""
    with pytest.raises(InvalidURL, match=message) as caught:
        Plan.of(spec(url=url))
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"verify": {"secretRef": {"name": "keys"}}}, "spec.verify"),
        ({"include": [{"repository": {"name": "other"}}]}, "spec.include"),
        ({"recurseSubmodules": True}, "spec.recurseSubmodules"),
        ({"proxySecretRef": {"name": "proxy"}}, "spec.proxySecretRef"),
        ({"provider": "github"}, "spec.provider github"),
        ({"serviceAccountName": "x", "provider": "aws"}, "spec.serviceAccountName"),
    ],
)
def test_what_is_not_built_fails_closed(fields: dict[str, Any], named: str) -> None:
    """A signature that nobody checks must never look checked."""
    with pytest.raises(InvalidSpec, match=f"{named}.* not supported yet"):
        Plan.of(spec(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"ref": {"commit": "main"}},
        {"ref": {"commit": SHA.upper()}},
        {"ref": {"branch": "a b"}},
        {"ref": {"tag": "x\ny"}},
        {"sparseCheckout": ["../x"]},
        {"sparseCheckout": ["/"]},
    ],
)
def test_values_that_cannot_be_meant(fields: dict[str, Any]) -> None:
    """References and directories that no repository can have are the user's to mend."""
    with pytest.raises(Terminal):
        Plan.of(spec(**fields))


def observed(**fields: Any) -> Observed | None:
    return Observed.of(msgspec.convert(fields, GitRepositoryStatus))


ARTIFACT = {
    "path": "p",
    "url": "u",
    "revision": "main@sha1:1",
    "digest": "sha256:ab",
    "lastUpdateTime": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("status", "fields", "equal"),
    [
        ({}, {}, True),
        ({"observedIgnore": "*.md"}, {"ignore": "*.md"}, True),
        ({}, {"ignore": "*.md"}, False),
        ({"observedIgnore": "*.md"}, {}, False),
        ({"observedSparseCheckout": ["./a"]}, {"sparseCheckout": ["a/"]}, True),
        ({}, {"sparseCheckout": ["a"]}, False),
    ],
)
def test_changed_settings_need_a_new_artifact(status: dict[str, Any], fields: dict[str, Any], equal: bool) -> None:
    """The same revision with other ignore rules or directories is not the same artifact."""
    found = observed(artifact=ARTIFACT, **status)
    assert found is not None
    assert found.equals(Plan.of(spec(**fields)), "main@sha1:1") is equal
    assert not found.equals(Plan.of(spec(**fields)), "main@sha1:2")


def test_nothing_observed() -> None:
    """Without an artifact, or with one that had included content, everything is to be done."""
    assert observed() is None
    assert observed(artifact=ARTIFACT, observedInclude=[{"repository": {"name": "x"}}]) is None
