"""The embedded Redis: private, restartable, restorable."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.unit


@pytest.fixture(params=[False, True], ids=["memory", "appendonly"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EmbeddedValkey]:
    """A server of this test's own."""
    with EmbeddedValkey(tmp_path / "valkey", appendonly=request.param) as running:
        yield running


def run_id(client: redis.Redis) -> str:
    """The server's run_id, which changes with each start."""
    info: dict[str, str] = client.info("server")
    return info["run_id"]


def test_restart_is_a_new_run_on_the_same_address(server: EmbeddedValkey) -> None:
    """Clients reconnect to the same URL and find a new run_id; data stay with appendonly alone."""
    with server.client() as client:
        client.set("key", "value")
        before = run_id(client)
        server.restart()
        assert run_id(client) != before
        assert client.get("key") == (b"value" if server.appendonly else None)


def test_restore_brings_back_an_older_state(server: EmbeddedValkey, tmp_path: Path) -> None:
    """After a restore the data are those of the snapshot, and stay so over the next restart with appendonly."""
    with server.client() as client:
        client.set("key", "old")
        server.snapshot(tmp_path / "backup.rdb")
        client.set("key", "new")
        server.restore(tmp_path / "backup.rdb")
        assert client.get("key") == b"old"
        client.set("key", "newest")
        server.restart()
        assert client.get("key") == (b"newest" if server.appendonly else b"old")


def test_nobody_enters_without_the_password(tmp_path: Path) -> None:
    """The port alone gives nothing, and the files that hold the password are their owner's only."""
    with EmbeddedValkey(tmp_path) as running:
        with redis.Redis(port=running.port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        for name in ("password", "valkey.conf"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_killed_server_starts_again(tmp_path: Path) -> None:
    """SIGKILL, then start: same address and password."""
    with EmbeddedValkey(tmp_path) as running, running.client() as client:
        running.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        running.start()
        assert client.ping()
