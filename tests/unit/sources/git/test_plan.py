"""A GitRepository's spec: precedence of references, what is refused, what counts as changed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fleetbeat.api.source import GitRepositorySpec, GitRepositoryStatus
from fleetbeat.errors import InvalidURL, Terminal
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


SECRET = {"secretRef": {"name": "login"}}


CODECOMMIT = "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/app"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "ssh://git@git.example/app"}, "spec.secretRef is missing: ssh needs a Secret with the keys identity"),
        ({"url": "ssh://git@git.example/app", "provider": "github", **SECRET}, "spec.provider github is for https"),
        ({"provider": "github"}, "spec.secretRef is missing: provider github needs"),
        ({"provider": "aws"}, "spec.provider aws does not serve https://git.example/app"),
        ({"provider": "azure"}, "spec.provider azure does not serve https://git.example/app"),
        ({"url": CODECOMMIT, "provider": "aws", **SECRET}, "excludes spec.secretRef"),
        ({"serviceAccountName": "x"}, "spec.serviceAccountName is for provider aws or azure only"),
        ({"serviceAccountName": "x", "provider": "github", **SECRET}, "spec.serviceAccountName is for provider aws"),
        ({"serviceAccountName": "x", "provider": "aws"}, "spec.provider aws does not serve https://git.example/app"),
    ],
)
def test_logins_that_cannot_be_meant(fields: dict[str, Any], message: str) -> None:
    """URL, provider and Secrets must fit together; no field is silently ignored."""
    with pytest.raises(Terminal, match=message):
        Plan.of(spec(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ssh://git.example/app", **SECRET},
        {"url": CODECOMMIT, "provider": "aws"},
        {"url": "https://dev.azure.com/org/project/_git/app", "provider": "azure"},
        {"provider": "github", **SECRET},
        {"proxySecretRef": {"name": "x"}},
    ],
)
def test_logins_that_can(fields: dict[str, Any]) -> None:
    """SSH with its Secret, the clouds' own servers, a GitHub App, a proxy."""
    assert Plan.of(spec(**fields)).url.endswith("/app")


def test_urls_are_checked() -> None:
    """What is refused of them has tests of its own."""
    with pytest.raises(InvalidURL, match=r"spec.url contains a password"):
        Plan.of(spec(url="https://ann:pw@git.example/app"))


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
        ({}, {"recurseSubmodules": True}, False),
        ({"observedRecurseSubmodules": True}, {"recurseSubmodules": True}, True),
        ({}, {"include": [{"repository": {"name": "b"}}]}, False),
        ({}, {"verify": {"secretRef": {"name": "keys"}}}, True),
    ],
)
def test_changed_settings_need_a_new_artifact(status: dict[str, Any], fields: dict[str, Any], equal: bool) -> None:
    """The same revision with other ignore rules or directories is not the same artifact."""
    found = observed(artifact=ARTIFACT, **status)
    assert found is not None
    assert found.equals(Plan.of(spec(**fields)), "main@sha1:1") is equal
    assert not found.equals(Plan.of(spec(**fields)), "main@sha1:2")


def test_nothing_observed() -> None:
    """Without an artifact, or with one whose content is not told in full, everything is to be done."""
    assert observed() is None
    include = {"repository": {"name": "x"}}
    assert observed(artifact=ARTIFACT, observedInclude=[include]) is None
    outside = {**include, "toPath": "../x"}
    assert observed(artifact=ARTIFACT, observedInclude=[outside], includedArtifacts=[ARTIFACT]) is None


def test_included_artifacts_count() -> None:
    """Which ones, in which order and where they go; a path may be written in several ways."""
    entries = [{"repository": {"name": "x"}, "fromPath": "./a/"}, {"repository": {"name": "y"}}]
    digests = ["sha256:01", "sha256:02"]
    artifacts = [{**ARTIFACT, "digest": digest} for digest in digests]
    found = observed(artifact=ARTIFACT, observedInclude=entries, includedArtifacts=artifacts)
    assert found is not None

    def equal(include: list[dict[str, Any]], known: list[str]) -> bool:
        return found.equals(Plan.of(spec(include=include), known), "main@sha1:1")

    assert equal([{**entries[0], "fromPath": "a", "toPath": "x"}, entries[1]], digests)
    assert not equal(entries, digests[::-1])
    assert not equal(entries[::-1], digests[::-1])
    assert not equal(entries, [])


@pytest.mark.parametrize(
    ("mode", "expected"), [({}, "HEAD"), ({"mode": "head"}, "HEAD"), ({"mode": "TagAndHEAD"}, "TagAndHEAD")]
)
def test_modes(mode: dict[str, str], expected: str) -> None:
    """Both spellings of the default are one."""
    assert Plan.of(spec(ref={"tag": "v1"}, verify={"secretRef": {"name": "keys"}, **mode})).mode == expected
