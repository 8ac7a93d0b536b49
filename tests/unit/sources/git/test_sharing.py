"""What one account fetched serves that account alone, and only as long as it is let in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleetbeat.errors import AuthenticationFailed, FleetbeatError
from fleetbeat.sources.credentials import Account, HttpCredentials, SshCredentials
from fleetbeat.sources.credentials import Proxy as Via
from fleetbeat.sources.git import Observed
from tests.unit.sources.git.conftest import Worker, content
from tools.gitserver import Access, GitServer
from tools.proxy import Proxy
from tools.sshserver import SshServer, make_key

pytestmark = pytest.mark.unit

RIGHT, WRONG = make_key(), make_key()
FILES = {"a": "1"}


class Guarded:
    """A repository that takes one account, over HTTP or SSH."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.http = GitServer(folder)
        self.ssh = SshServer(folder) if kind == "ssh" else None
        self.repo = (self.ssh or self.http).create("app")
        self.head = self.repo.commit(FILES)
        self.allow(True)
        (self.ssh or self.http).start()

    def stop(self) -> None:
        (self.ssh or self.http).stop()

    def allow(self, allowed: bool) -> None:
        """Whether the right account is taken."""
        if self.ssh is not None:
            self.ssh.allow(*[RIGHT] * allowed)
        else:
            self.http.access = Access(basic=("ann", "right" if allowed else "another"))

    @property
    def good(self) -> Account:
        if self.ssh is not None:
            return SshCredentials(RIGHT.private, self.ssh.known_hosts)
        return HttpCredentials("ann", "right")

    @property
    def bad(self) -> list[Account]:
        """Each differs from the good one in one thing."""
        if self.ssh is not None:
            other = f"{self.ssh.name} {WRONG.public}".encode()
            return [SshCredentials(WRONG.private, self.ssh.known_hosts), SshCredentials(RIGHT.private, other)]
        return [HttpCredentials("ann", "wrong"), HttpCredentials("bob", "right"), HttpCredentials()]


@pytest.fixture(params=["http", "ssh"])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(request.param, tmp_path / "srv")
    yield made
    made.stop()


@pytest.fixture(params=["branch", "commit"])
def ref(request: pytest.FixtureRequest, guarded: Guarded) -> dict[str, str]:
    """What moves, and what cannot."""
    return {"branch": "main"} if request.param == "branch" else {"commit": guarded.head}


def test_wrong_credentials_never_meet_the_cache(guarded: Guarded, ref: dict[str, str], worker: Worker) -> None:
    """Another password, user, key or known_hosts gets nothing, although its bytes lie on the same disk."""
    assert content(worker.fetch(guarded.repo.url, ref, credentials=guarded.good)) == {"a": b"1"}
    for account in guarded.bad:
        with pytest.raises(AuthenticationFailed):
            worker.fetch(guarded.repo.url, ref, credentials=account)
    assert content(worker.fetch(guarded.repo.url, ref, credentials=guarded.good)) == {"a": b"1"}


def test_another_proxy_never_meets_the_cache(guarded: Guarded, ref: dict[str, str], worker: Worker) -> None:
    """Nor does one that refuses the login; a good one fetches for itself."""
    worker.fetch(guarded.repo.url, ref, credentials=guarded.good)
    with Proxy(login=("ann", "pw")) as proxy:
        with pytest.raises(AuthenticationFailed, match="the proxy"):
            worker.fetch(guarded.repo.url, ref, credentials=replace(guarded.good, proxy=Via(proxy.address)))
        account = replace(guarded.good, proxy=Via(proxy.address, "ann", "pw"))
        assert content(worker.fetch(guarded.repo.url, ref, credentials=account)) == {"a": b"1"}
    assert len(list(worker.cache.glob("git/*/packs/*.pack"))) == 2


def test_an_account_that_was_shut_out_gets_nothing_more(guarded: Guarded, ref: dict[str, str], worker: Worker) -> None:
    """A fixed commit is in the cache too, but whoever wants it still has to show that he may have it."""
    worker.fetch(guarded.repo.url, ref, credentials=guarded.good)
    guarded.allow(False)
    for fields in ({}, {"ignore": "*.md"}):
        with pytest.raises(AuthenticationFailed):
            worker.fetch(guarded.repo.url, ref, credentials=guarded.good, **fields)


def test_an_unreachable_server_hands_out_nothing(guarded: Guarded, ref: dict[str, str], worker: Worker) -> None:
    """What cannot be asked has not said yes."""
    worker.fetch(guarded.repo.url, ref, credentials=guarded.good)
    guarded.stop()
    with pytest.raises(FleetbeatError):
        worker.fetch(guarded.repo.url, ref, credentials=guarded.good)


def test_an_artifact_of_a_fixed_commit_stands(guarded: Guarded, worker: Worker) -> None:
    """Nothing is handed out where nothing is to be made, so nobody is asked."""
    guarded.allow(False)
    observed = Observed(f"sha1:{guarded.head}")
    assert worker.fetch(
        guarded.repo.url, {"commit": guarded.head}, observed=observed, credentials=guarded.good
    ).unchanged


def test_equal_accounts_share_what_was_fetched(guarded: Guarded, ref: dict[str, str], worker: Worker) -> None:
    """Two Secrets of the same content are one account."""
    worker.fetch(guarded.repo.url, ref, credentials=guarded.good)
    worker.fetch(guarded.repo.url, ref, credentials=replace(guarded.good), ignore="*.md")
    assert len(list(worker.cache.glob("git/*/packs/*.pack"))) == 1
