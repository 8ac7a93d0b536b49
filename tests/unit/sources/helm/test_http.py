"""Downloads from chart repositories: who gets to know the account, what is too much, and what went wrong, in words."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from fleetbeat.errors import (
    AuthenticationFailed,
    ChartPullFailed,
    IndexNotFetched,
    InvalidChartReference,
    InvalidURL,
    Retryable,
)
from fleetbeat.sources.credentials import ANONYMOUS, HttpCredentials
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.helm.fetch import fetch_index
from fleetbeat.sources.helm.http import ChartServer as Client
from fleetbeat.sources.helm.repositories import pull
from tests.unit.sources.helm.conftest import Connect
from tools.chartserver import ChartServer

pytestmark = pytest.mark.unit

ME = HttpCredentials("me", "hunter2")


def client(url: str, account: HttpCredentials = ANONYMOUS, seconds: float = 10, **options: bool) -> Client:
    """A client for indexes."""
    return Client.of(url, account, Deadline.after(seconds, IndexNotFetched), **options)


def test_an_index_is_asked_for_conditionally(server: ChartServer, tmp_path: Path) -> None:
    """Nothing is sent while it stands; equal bytes under another validator make no new artifact."""
    first = fetch_index(client(server.url), None, "", tmp_path)
    assert first.archive is not None
    first.archive.close()
    again = fetch_index(client(server.url), first.revision, first.validator, tmp_path)
    assert (again.revision, again.archive, again.validator) == (first.revision, None, first.validator)
    assert server.count("/index.yaml", 304) == 1
    lost = fetch_index(client(server.url), first.revision, "", tmp_path)
    assert (lost.archive, lost.validator) == (None, first.validator)
    assert server.count("/index.yaml", 304) == 1


def test_a_relative_package_is_found_below_the_url(server: ChartServer, connect: Connect) -> None:
    """With or without a slash at its end."""
    for url in (server.url, f"{server.url}/"):
        assert pull(connect(url=url), "app", "1.x", "me") == (server.directory / "app-1.2.0.tgz").read_bytes()


@pytest.mark.parametrize("passing", [False, True])
def test_another_host_learns_the_account_only_if_it_may(
    server: ChartServer, connect: Connect, tmp_path: Path, passing: bool
) -> None:
    """An absolute URL in the index may lead anywhere; spec.passCredentials decides."""
    with ChartServer(tmp_path / "elsewhere") as elsewhere:
        elsewhere.add("app", "1.2.0", {"README.md": "another one"})
        server.index("--url", elsewhere.url)
        pull_it = connect(ME, pass_credentials=passing)
        with pytest.raises(ChartPullFailed, match="digest"):
            pull(pull_it, "app", "1.2.0", "me")
        assert [bool(one.authorization) for one in elsewhere.seen] == [passing]
        assert all(one.authorization for one in server.seen)


def test_a_redirect_to_another_host_does_not_carry_the_account(server: ChartServer, tmp_path: Path) -> None:
    """Whatever passCredentials says: the index did not name that host."""
    with ChartServer(tmp_path / "elsewhere") as elsewhere:
        elsewhere.add("app", "1.2.0")
        server.faults.redirects["/index.yaml"] = f"{elsewhere.url}/index.yaml"
        found = fetch_index(client(server.url, ME, pass_credentials=True), None, "", tmp_path)
        assert found.archive is not None
        found.archive.close()
        assert [one.authorization for one in elsewhere.seen] == [""]


def test_encryption_is_never_left(tmp_path: Path, server: ChartServer) -> None:
    """A redirect from https to http is not followed; the authority of the Secret is trusted."""
    with ChartServer(tmp_path / "secure", tls=True) as secure:
        secure.add("app", "1.0.0")
        trusting = HttpCredentials(ca=secure.ca)
        found = fetch_index(client(secure.url, trusting), None, "", tmp_path)
        assert found.archive is not None
        found.archive.close()
        with pytest.raises(IndexNotFetched, match="TLS failed"):
            fetch_index(client(secure.url), None, "", tmp_path)
        secure.faults.redirects["/index.yaml"] = f"{server.url}/index.yaml"
        with pytest.raises(IndexNotFetched, match="not encrypted"):
            fetch_index(client(secure.url, trusting), None, "", tmp_path)


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (401, AuthenticationFailed, "check the Secret"),
        (403, AuthenticationFailed, "HTTP 403"),
        (404, IndexNotFetched, "URL above the index.yaml"),
        (429, IndexNotFetched, "HTTP 429"),
        (500, IndexNotFetched, "HTTP 500"),
    ],
)
def test_an_answer_that_is_none_has_its_reason(
    server: ChartServer, tmp_path: Path, status: int, error: type[Retryable], says: str
) -> None:
    """With the URL, never with the password; Retry-After is honoured."""
    server.faults.status, server.faults.headers = status, {"Retry-After": "77"}
    with pytest.raises(error, match=says) as raised:
        fetch_index(client(server.url, ME), None, "", tmp_path)
    assert "hunter2" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)
    assert raised.value.retry_after == (77 if status in (429, 500) else None)
    assert server.count("/index.yaml") == 1


def test_a_missing_package_is_a_failed_pull(server: ChartServer, connect: Connect) -> None:
    """Its file was taken away, its entry was not."""
    (server.directory / "app-1.2.0.tgz").unlink()
    with pytest.raises(ChartPullFailed, match=r"app 1\.2\.0: .*not found"):
        pull(connect(), "app", "1.2.0", "me")


def test_what_is_not_listed_says_what_is(connect: Connect) -> None:
    """The newest version helps who mistyped a range."""
    with pytest.raises(InvalidChartReference, match=r"no version of chart 'app'.*the newest is 2\.0\.0-rc\.1"):
        connect().find("app", "7.x")
    with pytest.raises(InvalidChartReference, match=r"spec\.chart: .*no chart 'other'"):
        connect().find("other", "*")


def test_too_much_is_refused(server: ChartServer) -> None:
    """The cap holds whatever the server says of the length."""
    (server.directory / "big").write_bytes(bytes(3 << 20))
    with pytest.raises(IndexNotFetched, match="more than the 2 MiB"):
        client(server.url).get(f"{server.url}/big", BytesIO(), 2 << 20)


def test_a_slow_server_is_not_waited_for_beyond_the_timeout(server: ChartServer, tmp_path: Path) -> None:
    """spec.timeout bounds the whole."""
    server.faults.delay = 3
    with pytest.raises(IndexNotFetched, match=r"timeout|in time"):
        fetch_index(client(server.url, seconds=0.3), None, "", tmp_path)


@pytest.mark.parametrize("url", ["ftp://x/y", "https://me:hunter2@x/y", "https://", "http://[bad"])
def test_a_url_that_cannot_be_read_is_refused(url: str) -> None:
    """An account in a URL would stand in every status."""
    with pytest.raises(InvalidURL) as raised:
        client(url)
    assert "hunter2" not in str(raised.value)
