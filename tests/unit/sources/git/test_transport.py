"""Reaching a Git server: logins, certificates, redirects, timeouts, and servers that mean harm."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from fleetbeat.errors import ArchiveInvalid, AuthenticationFailed, FleetbeatError, GitOperationFailed
from fleetbeat.sources.credentials import HttpCredentials, git_http_credentials
from fleetbeat.sources.git import GitLimits
from tests.support.hostile import reply, scripted_server
from tests.unit.sources.git.conftest import Worker, content
from tools.gitrepo import GitRepo
from tools.gitserver import Access, GitServer
from workers.embedded import ports

pytestmark = pytest.mark.unit

ADVERTISEMENT = "application/x-git-upload-pack-advertisement"


@pytest.fixture
def private(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "private") as server:
        server.create("app").commit({"a": "1"})
        yield server


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("tls"), tls=True) as server:
        server.create("app").commit({"a": "1"})
        yield server


@pytest.mark.parametrize(
    ("access", "good", "bad"),
    [
        (Access(basic=("ann", "pässword")), HttpCredentials("ann", "pässword"), HttpCredentials("ann", "SECRET")),
        (Access(bearer="t0ken"), HttpCredentials(bearer_token="t0ken"), HttpCredentials(bearer_token="SECRET")),
    ],
    ids=["basic", "bearer"],
)
def test_logins(
    private: GitServer, worker: Worker, access: Access, good: HttpCredentials, bad: HttpCredentials
) -> None:
    """The right credentials get in; wrong or absent ones are named as such, without being repeated."""
    private.access = access
    url = f"{private.url}/app"
    assert content(worker.fetch(url, credentials=good)) == {"a": b"1"}
    with pytest.raises(AuthenticationFailed, match=r"refused access \(HTTP 401\); check the Secret") as caught:
        worker.fetch(url, credentials=bad)
    assert "SECRET" not in str(caught.value)
    with pytest.raises(AuthenticationFailed, match=r"set spec.secretRef"):
        worker.fetch(url)


def test_an_authority_from_the_secret(encrypted: GitServer, worker: Worker) -> None:
    """`ca.crt` makes a private authority trusted; without it the message says where to put it."""
    url = f"{encrypted.url}/app"
    trusted = git_http_credentials({"ca.crt": encrypted.ca}, "apps/git")
    assert content(worker.fetch(url, credentials=trusted)) == {"a": b"1"}
    with pytest.raises(GitOperationFailed, match=r"TLS failed: .*certificate.*; put the server's authority"):
        worker.fetch(url)
    with pytest.raises(AuthenticationFailed, match=r"ca.crt of the Secret holds no PEM"):
        worker.fetch(url, credentials=HttpCredentials(ca=b"nonsense"))


def test_an_expired_certificate(tmp_path: Path, worker: Worker) -> None:
    """The server's to renew; no key of the Secret helps."""
    with GitServer(tmp_path / "expired", tls=True, lifetime=timedelta(days=-1)) as server:
        with pytest.raises(GitOperationFailed, match=r"certificate has expired; the server needs a new") as caught:
            worker.fetch(f"{server.url}/app", credentials=HttpCredentials(ca=server.ca))
        assert "ca.crt" not in str(caught.value)


def test_client_certificates(tmp_path: Path, worker: Worker) -> None:
    """`tls.crt` and `tls.key` are presented; a server that wants them refuses others."""
    with GitServer(tmp_path / "mtls", client_certificates=True) as server:
        server.create("app").commit({"a": "1"})
        pair = server.client_certificate()
        url = f"{server.url}/app"
        account = HttpCredentials(ca=server.ca, certificate=pair.certificate, key=pair.key)
        assert content(worker.fetch(url, credentials=account)) == {"a": b"1"}
        with pytest.raises(GitOperationFailed):
            worker.fetch(url, credentials=HttpCredentials(ca=server.ca))
        with pytest.raises(AuthenticationFailed, match=r"tls.crt and tls.key of the Secret are not a usable pair"):
            worker.fetch(url, credentials=HttpCredentials(certificate=pair.certificate, key=b"nonsense"))


def test_redirects_do_not_carry_credentials_away(private: GitServer, worker: Worker) -> None:
    """A redirect to another origin is followed as a stranger; within the origin the login stays."""
    private.access = Access(basic=("ann", "pw"))
    account = HttpCredentials("ann", "pw")
    private.faults.redirects["moved"] = f"{private.url}/app"
    assert content(worker.fetch(f"{private.url}/moved", credentials=account)) == {"a": b"1"}
    with scripted_server(lambda handler: reply(handler, status=401)) as (other, seen):
        private.faults.redirects["moved"] = f"{other}/app"
        with pytest.raises(AuthenticationFailed):
            worker.fetch(f"{private.url}/moved", credentials=account)
    assert len(seen) == 1 and "authorization" not in seen[0]


def test_a_redirect_to_a_public_server_works(
    git_server: GitServer, repo: GitRepo, private: GitServer, worker: Worker
) -> None:
    """Repositories that moved to another host are still found, when it lets anybody in."""
    repo.commit({"b": "2"})
    private.faults.redirects["moved"] = repo.url
    found = worker.fetch(f"{private.url}/moved", credentials=HttpCredentials("ann", "pw"))
    assert content(found) == {"b": b"2"}
    name = repo.url.rsplit("/", 1)[1]
    assert {one.authorization for one in git_server.seen if one.repository == name} == {""}


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/x", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_that_are_not_followed(encrypted: GitServer, worker: Worker, location: str) -> None:
    """Never from HTTPS to anything else."""
    encrypted.faults.redirects["odd"] = location
    with pytest.raises(GitOperationFailed, match="not encrypted"):
        worker.fetch(f"{encrypted.url}/odd", credentials=HttpCredentials("ann", "pw", ca=encrypted.ca))


def test_a_redirect_to_something_else(worker: Worker) -> None:
    """What is not a repository's address is not asked for: a worker is nobody's way into a network."""
    with (
        scripted_server(lambda handler: reply(handler, b"internal")) as (target, seen),
        scripted_server(lambda handler: reply(handler, status=302, location=f"{target}/latest/meta-data")) as (url, _),
        pytest.raises(GitOperationFailed, match="not a Git repository"),
    ):
        worker.fetch(f"{url}/app")
    assert seen == []


def test_a_redirect_loop_ends(private: GitServer, worker: Worker) -> None:
    """After a few hops it is an error."""
    private.faults.redirects["loop"] = f"{private.url}/loop"
    with pytest.raises(GitOperationFailed, match="more than 5 redirects"):
        worker.fetch(f"{private.url}/loop")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://no-such-host.invalid/app", "unknown host"),
        ("http://127.0.0.1:{port}/app", "refused or unreachable"),
    ],
)
def test_servers_that_are_not_there(worker: Worker, url: str, message: str) -> None:
    """Unknown host and refused connection have messages of their own."""
    with pytest.raises(GitOperationFailed, match=message):
        worker.fetch(url.format(port=ports.reserve()))


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_servers_that_refuse(private: GitServer, worker: Worker, status: int) -> None:
    """The status is in the message; 403 is a matter of credentials."""
    private.faults.status = status
    expected = AuthenticationFailed if status == 403 else GitOperationFailed
    with pytest.raises(expected, match=f"HTTP {status}"):
        worker.fetch(f"{private.url}/app")


def test_retry_after_is_passed_on() -> None:
    """A server that says when to come back is heard."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(429)
        handler.send_header("Retry-After", "120")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with scripted_server(answer) as (url, _), pytest.raises(GitOperationFailed) as caught:
        Worker(Path("/nonexistent")).fetch(f"{url}/app")
    assert caught.value.retry_after == 120


@pytest.mark.parametrize("drip", [False, True])
def test_slow_servers_meet_the_deadline(worker: Worker, drip: bool) -> None:
    """Neither silence nor a byte now and then holds a run beyond spec.timeout."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", ADVERTISEMENT)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        handler.wfile.write(b"fff0")
        for _ in range(100):
            time.sleep(0.1)
            if drip:
                handler.wfile.write(b"x")

    begin = time.monotonic()
    with scripted_server(answer) as (url, _):
        with pytest.raises(GitOperationFailed, match=r"did not answer in time|spec.timeout"):
            worker.fetch(f"{url}/app", seconds=1)
        assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"<html>", "text/html", "not a Git server that speaks the smart HTTP protocol"),
        (b"1" * 40 + b"\trefs/heads/main\n", "text/plain", "not a Git server"),
        (b"zzzz", ADVERTISEMENT, "Invalid pkt-line"),
        (b"", ADVERTISEMENT, "server"),
        (b"0012version 99\n..0000", ADVERTISEMENT, "pkt-line|first line"),
        (b"001e# service=git-upload-pack\n0000" + b"0035" + b"1" * 40 + b" refs/x\n", ADVERTISEMENT, "length prefix"),
    ],
)
def test_answers_that_are_not_git(worker: Worker, body: bytes, kind: str, message: str) -> None:
    """A wrong URL or a broken server is named; nothing of the dumb protocol is tried."""
    with scripted_server(lambda handler: reply(handler, body, kind=kind)) as (url, seen):
        with pytest.raises(FleetbeatError, match=message):
            worker.fetch(f"{url}/app")
        assert len(seen) == 1


def test_an_endless_list_of_references(worker: Worker) -> None:
    """A cap ends what a deadline would end later."""
    line = b"003d" + b"1" * 40 + b" refs/heads/" + b"x" * 4 + b"\n"

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "GET":
            return reply(handler, b"000eversion 2\n0000", kind=ADVERTISEMENT)
        handler.rfile.read(int(handler.headers["Content-Length"]))
        return reply(handler, line * 20_000, kind="application/x-git-upload-pack-result")

    with scripted_server(answer) as (url, _), pytest.raises(ArchiveInvalid, match="sent more than"):
        worker.fetch(f"{url}/app", limits=GitLimits(refs_bytes=500_000))


def test_a_server_cannot_send_the_worker_elsewhere(worker: Worker) -> None:
    """Pack URIs, with which a server names other places to download from, are refused."""
    commit = b"1" * 40

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "GET":
            return reply(handler, b"000eversion 2\n0000", kind=ADVERTISEMENT)
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if b"ls-refs" in body:
            text = pkt(commit + b" refs/heads/main\n") + b"0000"
        else:
            uri = f"{target}/secret {'0' * 40}".replace(" ", " sha1 ", 1).encode()
            text = pkt(b"packfile-uris\n") + pkt(uri + b"\n") + pkt(b"packfile\n") + b"0000"
        return reply(handler, text, kind="application/x-git-upload-pack-result")

    with (
        scripted_server(lambda handler: reply(handler, b"internal")) as (target, elsewhere),
        scripted_server(answer) as (url, _),
        pytest.raises(GitOperationFailed),
    ):
        worker.fetch(f"{url}/app")
    assert elsewhere == []


def pkt(data: bytes) -> bytes:
    return b"%04x%s" % (len(data) + 4, data)


def test_a_stopped_server_recovers(private: GitServer, worker: Worker) -> None:
    """Connections that were kept alive over a restart do not fail the next run."""
    worker.fetch(f"{private.url}/app")
    private.stop()
    with pytest.raises(GitOperationFailed):
        worker.fetch(f"{private.url}/app")
    private.start()
    assert content(worker.fetch(f"{private.url}/app")) == {"a": b"1"}


def test_nothing_secret_is_logged(private: GitServer, worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """At debug level, with every library talking, no credential appears."""
    private.access = Access(basic=("ann", "pw"))
    with caplog.at_level(logging.DEBUG):
        worker.fetch(f"{private.url}/app", credentials=HttpCredentials("ann", "pw"))
        with pytest.raises(AuthenticationFailed):
            worker.fetch(f"{private.url}/app", credentials=HttpCredentials("ann", "SECRET"))
    header = HttpCredentials("ann", "pw").authorization or ""
    assert "SECRET" not in caplog.text and header.split()[1] not in caplog.text
