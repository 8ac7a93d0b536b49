"""Servers behind an ssh URL that are absent, something else, slow, or mean harm."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fleetbeat.errors import ArchiveInvalid, FleetbeatError, GitOperationFailed
from fleetbeat.sources.credentials import SshCredentials
from fleetbeat.sources.git import GitLimits
from tests.support.remotes import refs, refused
from tools.sshserver import SshKey, SshServer, make_key
from workers.embedded import ports

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def key() -> SshKey:
    return make_key()


def test_servers_that_are_not_there(key: SshKey) -> None:
    """Unknown host, refused connection, and something that is no SSH server."""
    closed, host = ports.reserve(), "no-such-host.invalid"
    public = make_key().public
    known = f"{host},[127.0.0.1]:{closed} {public}\n".encode()
    account = SshCredentials(key.private, known)
    assert "unknown host" in refused(f"ssh://git@{host}/app", account).message
    assert "refused or unreachable" in refused(f"ssh://git@127.0.0.1:{closed}/app", account).message


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None, b"SSH-2.0-x\r\n" + b"\xff" * 4096])
def test_answers_that_are_not_ssh(key: SshKey, answer: bytes | None) -> None:
    """A web server, a closed or silent connection, garbage: the deadline holds, and no exception escapes."""
    with listening(answer) as port:
        known = f"[127.0.0.1]:{port} {make_key().public}".encode()
        begin = time.monotonic()
        error = refused_or_late(f"ssh://git@127.0.0.1:{port}/app", SshCredentials(key.private, known), seconds=2)
        assert "did not answer as an SSH server does" in error.message or "spec.timeout" in error.message
        assert time.monotonic() - begin < 10


def refused_or_late(url: str, account: SshCredentials, *, seconds: float) -> FleetbeatError:
    with pytest.raises(GitOperationFailed) as caught:
        refs(url, account, seconds=seconds)
    return caught.value


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A server that says `answer` to everybody and hangs up; with None it says nothing and holds the line."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                if answer is None:
                    held.append(taken)
                    continue
                taken.sendall(answer)
                taken.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for taken in held:
        taken.close()


@pytest.mark.parametrize("command", ["sleep 60", "printf fff0; while :; do printf x; sleep 0.1; done"])
def test_slow_servers_meet_the_deadline(tmp_path: Path, key: SshKey, command: str) -> None:
    """Neither silence nor a little now and then holds a run beyond spec.timeout."""
    with SshServer(tmp_path, command=command) as server:
        server.allow(key)
        begin = time.monotonic()
        error = refused_or_late(server.url("app"), SshCredentials(key.private, server.known_hosts), seconds=2)
        assert "spec.timeout" in error.message
        assert time.monotonic() - begin < 10
        server.drop()


def test_a_login_without_git(tmp_path: Path, key: SshKey) -> None:
    """What the account's shell says is shown, printable and short."""
    with SshServer(tmp_path, command=r"printf '\033[31mno\nway' >&2; head -c 100000 /dev/zero >&2; exit 1") as server:
        server.allow(key)
        error = refused(server.url("app"), SshCredentials(key.private, server.known_hosts))
        assert "no way" in error.message
        assert error.message.isprintable() and len(error.message) < 600


def test_an_endless_list_of_references(tmp_path: Path, key: SshKey) -> None:
    """A cap ends what a deadline would end later."""
    line = f"003d{'1' * 40} refs/heads/xxxx"
    with SshServer(tmp_path, command=f"while :; do echo '{line}'; done") as server:
        server.allow(key)
        account = SshCredentials(key.private, server.known_hosts)
        with pytest.raises(ArchiveInvalid, match="sent more than"):
            refs(server.url("app"), account, limits=GitLimits(refs_bytes=100_000))
        server.drop()
