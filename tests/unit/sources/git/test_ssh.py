"""Git over SSH against a real sshd: who gets in, whom a worker trusts, what it says of everybody else."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetbeat.errors import (
    AuthenticationFailed,
    EmptyRepository,
    GitOperationFailed,
)
from fleetbeat.sources.credentials import HttpCredentials, SshCredentials
from fleetbeat.sources.git import Deadline, GitLimits, Observed
from fleetbeat.sources.git.remote import Refused, Remote, connect
from tests.support.remotes import refs, refused
from tests.support.wait import until
from tests.unit.sources.git.conftest import Worker, content
from tools.gitrepo import GitRepo
from tools.sshserver import SshKey, SshServer, make_key

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """With host keys of all kinds."""
    with SshServer(tmp_path_factory.mktemp("ssh"), host_keys=("ed25519", "ecdsa", "rsa")) as made:
        yield made


@pytest.fixture(scope="module")
def key() -> SshKey:
    return make_key()


@pytest.fixture
def repo(server: SshServer, key: SshKey) -> GitRepo:
    """A repository with a branch and an annotated tag, which `key` may read."""
    server.allow(key)
    made = server.create(f"r-{time.monotonic_ns()}")
    made.commit({"a": "1"})
    made.tag("v1", message="annotated")
    return made


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_keys_of_all_kinds(server: SshServer, repo: GitRepo, kind: str) -> None:
    """Each logs in, with a passphrase too, to a server that is known by a key of the same kind."""
    made = make_key(kind, "phrase")
    server.allow(made)
    known = f"{server.name} {server.host_keys[kind].public}".encode()
    found = refs(repo.url, SshCredentials(made.private, known, b"phrase"))
    assert found["refs/heads/main"] == found["refs/tags/v1^{}"] == repo.head()
    assert found["refs/tags/v1"] != repo.head()


@pytest.mark.parametrize("protocol_2", [True, False])
def test_one_login_serves_a_run(tmp_path: Path, key: SshKey, protocol_2: bool) -> None:
    """Listing and two fetches, the second of what is new alone; a server of the oldest protocol does as well."""
    with SshServer(tmp_path, protocol_2=protocol_2) as server:
        server.allow(key)
        repo = server.create("it's one")
        first = repo.commit({f"f{number}": f"{number}\n" * 200 for number in range(50)})
        account = SshCredentials(key.private, server.known_hosts)
        with connect(repo.url.replace(" ", "%20"), account, Deadline.after(30), GitLimits()) as remote:
            assert remote.refs(["refs/heads/"]) == {"refs/heads/main": first}
            assert remote.refs(["refs/heads/mai-nope"]) == {}
            sizes = [pack_size(remote, [first], [])]
            second = repo.commit({"f7": "changed"})
            sizes.append(pack_size(remote, [second], [first]))
        assert sizes == [52, 3]
        assert server.logins() == 1


def pack_size(remote: Remote, wants: list[str], haves: list[str]) -> int:
    """How many objects are sent."""
    out = io.BytesIO()
    remote.fetch(wants, haves, out, depth=1)
    return int.from_bytes(out.getvalue()[8:12], "big")


@pytest.mark.parametrize("protocol_2", [True, False])
def test_every_way_to_name_a_commit(tmp_path: Path, key: SshKey, worker: Worker, protocol_2: bool) -> None:
    """Branch, tag, version, name and commit; the oldest protocol hands out an old commit with its history only."""
    with SshServer(tmp_path, protocol_2=protocol_2) as server:
        server.allow(key)
        repo = server.create("app")
        old = repo.commit({"a": "1"})
        repo.tag("v1.0.0", message="annotated")
        new = repo.commit({"a": "2"})
        subprocess.run(["git", "-C", str(repo.path), "config", "uploadpack.allowAnySHA1InWant", "false"], check=True)
        account = SshCredentials(key.private, server.known_hosts)
        cases = [
            ({"branch": "main"}, f"main@sha1:{new}"),
            ({"tag": "v1.0.0"}, f"v1.0.0@sha1:{old}"),
            ({"semver": "1.x"}, f"v1.0.0@sha1:{old}"),
            ({"name": "refs/heads/main"}, f"refs/heads/main@sha1:{new}"),
            ({"commit": old}, f"sha1:{old}"),
            ({"commit": old, "branch": "main"}, f"main@sha1:{old}"),
        ]
        for ref, revision in cases:
            found = worker.fetch(repo.url, ref, credentials=account)
            assert (found.revision, content(found)) == (revision, {"a": b"1" if old in revision else b"2"})
            assert worker.fetch(repo.url, ref, credentials=account, observed=Observed(revision)).unchanged


def test_an_empty_repository(server: SshServer, key: SshKey, worker: Worker) -> None:
    """It has a reason of its own."""
    server.allow(key)
    with pytest.raises(EmptyRepository, match="no commit yet"):
        worker.fetch(server.create("empty").url, credentials=SshCredentials(key.private, server.known_hosts))


def test_a_connection_that_broke_is_made_anew(server: SshServer, repo: GitRepo, key: SshKey) -> None:
    """Between two questions of a run, as a server does that takes one on each connection."""
    account = SshCredentials(key.private, server.known_hosts)
    with connect(repo.url, account, Deadline.after(30), GitLimits()) as remote:
        before = remote.refs(["refs/"])
        server.drop()
        assert remote.refs(["refs/"]) == before


def test_a_refused_key(server: SshServer, repo: GitRepo, key: SshKey) -> None:
    """Its fingerprint is named, so that it can be found or added."""
    error = refused(repo.url, SshCredentials(make_key().private, server.known_hosts))
    assert isinstance(error, AuthenticationFailed)
    assert f"refused user {server.user} with the key ssh-ed25519 SHA256:" in error.message


def test_a_server_that_wants_more_than_a_key(tmp_path: Path, key: SshKey) -> None:
    """A password is never sent, whatever the Secret has."""
    with SshServer(tmp_path, methods="publickey,publickey") as server:
        server.allow(key)
        server.create("app")
        error = refused(server.url("app"), SshCredentials(key.private, server.known_hosts, b"SECRET"))
        assert isinstance(error, AuthenticationFailed)
        assert "wants more than a key" in error.message


def test_no_agent_helps(
    server: SshServer, repo: GitRepo, key: SshKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine's agent and ~/.ssh hold the right key, and the wrong one of the Secret is still refused."""
    home = tmp_path / ".ssh"
    home.mkdir()
    for name, text in (("id_ed25519", key.private), ("known_hosts", server.known_hosts)):
        (home / name).write_bytes(text)
        (home / name).chmod(0o600)
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        monkeypatch.setenv("HOME", str(tmp_path))
        until(lambda: (tmp_path / "agent").exists())
        subprocess.run(["ssh-add", "-q", str(home / "id_ed25519")], check=True, env=dict(os.environ))
        assert "refused user" in refused(repo.url, SshCredentials(make_key().private, server.known_hosts)).message
        assert "no key of" in refused(repo.url, SshCredentials(key.private, b"other.example ssh-rsa AAAA")).message
    finally:
        agent.terminate()
        agent.wait(10)


def test_a_changed_host_key(tmp_path: Path, key: SshKey) -> None:
    """The key of the Secret is not used towards a server that shows another one; another kind is no way around."""
    with SshServer(tmp_path) as server:
        server.allow(key)
        server.create("app")
        old = server.known_hosts
        server.stop()
        server.host_keys = {"ed25519": make_key()}
        server.start()
        error = refused(server.url("app"), SshCredentials(key.private, old))
        assert isinstance(error, AuthenticationFailed)
        assert "shows another host key than those in known_hosts" in error.message
        assert f"ssh-keyscan -p {server.port} 127.0.0.1" in error.message
        server.stop()
        server.host_keys = {"ecdsa": make_key("ecdsa")}
        server.start()
        error = refused(server.url("app"), SshCredentials(key.private, old))
        assert isinstance(error, AuthenticationFailed)
        assert "no host key of the types in known_hosts (ssh-ed25519)" in error.message
        assert server.logins() == 0


def test_a_revoked_host_key(server: SshServer, repo: GitRepo, key: SshKey) -> None:
    """`@revoked` wins over everything else."""
    public = server.host_keys["ed25519"].public
    known = f"{server.name} {make_key().public}\n@revoked * {public}\n".encode()
    assert "marks as revoked" in refused(repo.url, SshCredentials(key.private, known)).message


def test_an_absent_repository(server: SshServer, repo: GitRepo, key: SshKey) -> None:
    """The server's own words are passed on."""
    error = refused(server.url("absent"), SshCredentials(key.private, server.known_hosts))
    assert isinstance(error, GitOperationFailed)
    assert "repository not found; check spec.url and what the key may read" in error.message
    assert "does not appear to be a git repository" in error.message


def test_a_commit_that_is_not_handed_out(server: SshServer, repo: GitRepo, key: SshKey) -> None:
    """It is a refusal, so that its history may be asked for instead."""
    account = SshCredentials(key.private, server.known_hosts)
    with connect(repo.url, account, Deadline.after(30), GitLimits()) as remote, pytest.raises(Refused):
        remote.fetch(["1" * 40], [], io.BytesIO(), depth=1)


def test_an_account_of_the_other_protocol(server: SshServer, repo: GitRepo, key: SshKey) -> None:
    """An ssh URL with a password's Secret, and the other way round."""
    assert "ssh needs a Secret with the keys identity" in refused(repo.url, HttpCredentials("ann", "pw")).message
    account = SshCredentials(key.private, server.known_hosts)
    assert "holds a login for ssh" in refused("https://git.invalid/app", account).message


def test_nothing_is_left_behind(server: SshServer, repo: GitRepo, key: SshKey) -> None:
    """Neither threads nor connections, after a success and after failures of each stage."""
    before = set(threading.enumerate())
    account = SshCredentials(key.private, server.known_hosts)
    refs(repo.url, account)
    refused(server.url("absent"), account)
    refused(repo.url, SshCredentials(make_key().private, server.known_hosts))
    until(lambda: set(threading.enumerate()) <= before)


def test_nothing_secret_is_logged_or_shown(server: SshServer, repo: GitRepo, caplog: pytest.LogCaptureFixture) -> None:
    """At debug level, with every library talking; nor in a repr."""
    made = make_key("ed25519", "PASSPHRASE")
    server.allow(made)
    account = SshCredentials(made.private, server.known_hosts, b"PASSPHRASE")
    with caplog.at_level(logging.DEBUG):
        refs(repo.url, account)
        refused(repo.url, SshCredentials(made.private, server.known_hosts, b"SECRET"))
    body = made.private.splitlines()[1].decode()
    for secret in ("PASSPHRASE", "SECRET", body):
        assert secret not in caplog.text and secret not in repr(account)
