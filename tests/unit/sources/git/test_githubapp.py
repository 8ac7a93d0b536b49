"""Provider github: an App's proof, its installation, tokens that are used again and replaced in time."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetbeat.errors import AuthenticationFailed, FleetbeatError, GitOperationFailed, InvalidProvider
from fleetbeat.sources.credentials import ANONYMOUS, HttpCredentials
from fleetbeat.sources.credentials import Proxy as Via
from fleetbeat.sources.git import Deadline, GitLimits
from fleetbeat.sources.git.githubapp import account_of, app_of, trust_of
from fleetbeat.sources.git.remote import connect
from tools.githubapi import GithubApi
from tools.gitserver import Access, GitServer
from tools.proxy import Proxy

pytestmark = pytest.mark.unit


@pytest.fixture
def github() -> Iterator[GithubApi]:
    with GithubApi() as made:
        yield made


def login(data: dict[str, bytes], trust: HttpCredentials = ANONYMOUS) -> HttpCredentials:
    """The account of an App's Secret."""
    return account_of(app_of(data, "apps/app"), trust, Deadline.after(10))


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ({}, ["POST /api/v3/app/installations/7/access_tokens"]),
        (
            {"githubAppInstallationID": "", "githubAppInstallationOwner": "fleet"},
            ["GET /api/v3/orgs/fleet/installation", "POST /api/v3/app/installations/7/access_tokens"],
        ),
        (
            {"githubAppInstallationID": "", "githubAppInstallationOwner": "ann"},
            [
                "GET /api/v3/orgs/ann/installation",
                "GET /api/v3/users/ann/installation",
                "POST /api/v3/app/installations/8/access_tokens",
            ],
        ),
    ],
    ids=["id", "organisation", "user"],
)
def test_a_token_for_an_installation(github: GithubApi, more: dict[str, str], asked: list[str]) -> None:
    """By its id, or by its owner; asked for once and used again until shortly before its end."""
    account = login(github.secret(**more))
    assert (account.username, account.password) == ("x-access-token", github.tokens[0])
    assert login(github.secret(**more)) == account
    assert github.seen == asked


def test_tokens_are_replaced_in_time(github: GithubApi) -> None:
    """The account stays the same one, so that its cache is found again; another App's is another account."""
    github.lifetime = datetime.timedelta(minutes=4)
    first, second = login(github.secret()), login(github.secret())
    assert (first.password, second.password) == tuple(github.tokens)
    assert first.fingerprint == second.fingerprint
    by_owner = github.secret(githubAppInstallationID="", githubAppInstallationOwner="fleet")
    other_ca = trust_of({"ca.crt": b"PEM"}, None)
    with Proxy() as proxy, GithubApi() as other:
        others = [login(by_owner), login(other.secret()), login(github.secret(), trust_of({}, Via(proxy.address)))]
        assert proxy.seen, "GitHub is asked through the proxy too"
    assert len({first.fingerprint, *(one.fingerprint for one in others), other_ca.fingerprint}) == 5


def test_a_repository_is_read_with_it(github: GithubApi, tmp_path: Path) -> None:
    """And a token that the server refuses is not used again."""
    with GitServer(tmp_path) as server:
        head = server.create("app").commit({"a": "1"})
        account = login(github.secret())
        server.access = Access(basic=("x-access-token", github.tokens[0]))
        with connect(f"{server.url}/app", account, Deadline.after(10), GitLimits()) as remote:
            assert remote.refs(["refs/"]) == {"refs/heads/main": head}
        server.access = Access(basic=("x-access-token", "revoked"))
        with (
            pytest.raises(AuthenticationFailed) as caught,
            connect(f"{server.url}/app", account, Deadline.after(10), GitLimits()) as remote,
        ):
            remote.refs(["refs/"])
        assert github.tokens[0] not in str(caught.value)
        assert login(github.secret()).password == github.tokens[1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"githubAppID": ""}, "lacks the key githubAppID"),
        ({"githubAppPrivateKey": ""}, "lacks the key githubAppPrivateKey"),
        ({"githubAppInstallationID": ""}, "either githubAppInstallationID or githubAppInstallationOwner"),
        ({"githubAppInstallationOwner": "fleet"}, "and not both"),
        ({"githubAppInstallationID": "7/../8"}, "are numbers"),
        ({"githubAppBaseURL": "api.github.example"}, "must be like https://github.example/api/v3"),
        ({"githubAppPrivateKey": "SECRET"}, "is no RSA private key"),
    ],
)
def test_secrets_that_are_none_of_an_app(github: GithubApi, more: dict[str, str], message: str) -> None:
    """The key is named, its value is not shown, and nobody is asked."""
    with pytest.raises(InvalidProvider, match=message) as caught:
        login(github.secret(**more))
    assert "SECRET" not in str(caught.value)
    assert github.seen == []


@pytest.mark.parametrize(
    ("status", "more", "kind", "message"),
    [
        (401, {}, AuthenticationFailed, "GitHub refuses the App .HTTP 401.; check githubAppID"),
        (403, {}, AuthenticationFailed, "HTTP 403"),
        (500, {}, GitOperationFailed, "HTTP 500"),
        (200, {}, GitOperationFailed, "not one of GitHub's API; check githubAppBaseURL"),
        (None, {"githubAppID": "4712"}, AuthenticationFailed, "HTTP 401"),
        (None, {"githubAppInstallationID": "9"}, AuthenticationFailed, "has no installation 9"),
        (
            None,
            {"githubAppInstallationID": "", "githubAppInstallationOwner": "nobody"},
            AuthenticationFailed,
            "not installed for nobody",
        ),
        (None, {"githubAppBaseURL": "http://127.0.0.1:1"}, GitOperationFailed, "refused or unreachable"),
    ],
)
def test_what_github_refuses(
    github: GithubApi, status: int | None, more: dict[str, str], kind: type[FleetbeatError], message: str
) -> None:
    """Each with its reason, and no retry."""
    github.status = status
    with pytest.raises(kind, match=message):
        login(github.secret(**more))
    assert len(github.seen) <= 2


@pytest.mark.parametrize("status", [403, 429])
def test_a_rate_limit_says_when(github: GithubApi, status: int) -> None:
    """It is no matter of credentials."""
    github.status, github.headers = status, {"Retry-After": "120"}
    with pytest.raises(GitOperationFailed, match="come back later") as caught:
        login(github.secret())
    assert caught.value.retry_after == 120


def test_nothing_secret_is_logged_or_shown(github: GithubApi, caplog: pytest.LogCaptureFixture) -> None:
    """Neither key nor proof nor token."""
    with caplog.at_level(logging.DEBUG):
        account = login(github.secret())
    shown = caplog.text + repr(account) + repr(app_of(github.secret(), "apps/app"))
    for secret in (github.tokens[0], github.private_key.splitlines()[1].decode()):
        assert secret not in shown
