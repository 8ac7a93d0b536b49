"""All roles as child processes on this machine, each with its own HOME, temporary folder and cache.

Owns starting, stopping and restarting them; used by `fleetbeat up`, the demo and the acceptance tests. A role that
dies is started again with a growing pause, as a cluster would.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from fleetbeat.render.engine import find_binary
from workers.embedded import ports
from workers.embedded.process import Server
from workers.embedded.s3 import EmbeddedS3
from workers.embedded.valkey import EmbeddedValkey
from workers.roles import ROLES

PAUSES = (0.2, 1.0, 5.0, 15.0)
"""Seconds before the next start of a role that keeps dying."""
STEADY = 30.0
"""A role that lived this long starts again at the first pause."""


@dataclass
class Member:
    """One process of the stack."""

    name: str
    server: Server
    started: float = 0.0
    deaths: int = 0
    due: float | None = None


@dataclass
class Stack:
    """The embedded Redis and S3 and every role, over one directory."""

    directory: Path
    kubeconfig: Path
    roles: Iterable[str] = ROLES
    copies: dict[str, int] = field(default_factory=dict)
    """role → how many of it; 1 where absent."""
    env: dict[str, str] = field(default_factory=dict)
    """More settings for all roles."""

    def __post_init__(self) -> None:
        self.valkey = EmbeddedValkey(self.directory / "valkey", appendonly=True)
        self.s3 = EmbeddedS3(self.directory / "s3")
        self.web_port = int(self.env.get("FLEETBEAT_WEB_PORT") or ports.reserve())
        self.flower_port = int(self.env.get("FLEETBEAT_FLOWER_PORT") or ports.reserve())
        self.members = {name: Member(name, self._server(name)) for name in self._names()}
        self.ended: list[tuple[str, int]] = []
        """Name and exit code of each process that ended by itself, as `tend` found it."""

    def _names(self) -> list[str]:
        names = []
        for role in self.roles:
            copies = self.copies.get(role, 1)
            names += [role] if copies == 1 else [f"{role}-{number}" for number in range(1, copies + 1)]
        return names

    @property
    def web_url(self) -> str:
        """Where webhooks and artifacts are served."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def flower_url(self) -> str:
        """The live view."""
        return f"http://127.0.0.1:{self.flower_port}"

    def settings(self) -> dict[str, str]:
        """The environment that every role shares; holds credentials."""
        return {
            "FLEETBEAT_REDIS_URL": self.valkey.url,
            "FLEETBEAT_S3_ENDPOINT": self.s3.endpoint,
            "FLEETBEAT_S3_BUCKET": self.s3.bucket,
            "FLEETBEAT_S3_REGION": self.s3.region,
            "FLEETBEAT_S3_ACCESS_KEY": self.s3.access_key,
            "FLEETBEAT_S3_SECRET_KEY": self.s3.secret_key,
            "FLEETBEAT_KUBECONFIG": str(self.kubeconfig),
            "FLEETBEAT_ARTIFACT_URL": self.web_url,
            "FLEETBEAT_WEB_PORT": str(self.web_port),
            "FLEETBEAT_FLOWER_PORT": str(self.flower_port),
            "FLEETBEAT_LOG_FORMAT": "text",
            "FLEETBEAT_ENGINE": str(find_binary()),  # each role has a HOME of its own, where none is cached
            **self.env,
        }

    def _server(self, name: str) -> Server:
        role = name.split("-")[0]
        home = self.directory / "roles" / name
        folders = {"HOME": home / "home", "TMPDIR": home / "tmp", "FLEETBEAT_CACHE_DIR": home / "cache"}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        own = {key: str(folder) for key, folder in folders.items()} | {"FLEETBEAT_NAME": name}
        argv = [sys.executable, "-m", "workers.cli.main", "start", role]
        return Server(name, argv, self.directory / "logs" / f"{name}.log", env=self.settings() | own)

    def start(self) -> None:
        """Redis and S3 first, then every role; returns without waiting for the roles."""
        self.valkey.start()
        self.s3.start()
        for member in self.members.values():
            self.start_member(member.name)

    def start_member(self, name: str) -> None:
        """Start one process."""
        member = self.members[name]
        member.server.start()
        member.started, member.due = monotonic(), None

    def kill(self, name: str) -> None:
        """SIGKILL one process; `tend` starts it again."""
        self.members[name].server.kill()

    def tend(self) -> list[str]:
        """Start again what died, in its time; returns what was started. Call it every now and then."""
        started = []
        for name, member in self.members.items():
            if member.server.pid is not None or not member.started:
                continue
            now = monotonic()
            if member.due is None:
                if member.server.exit_code is not None:
                    self.ended.append((name, member.server.exit_code))
                member.deaths = 0 if now - member.started > STEADY else member.deaths + 1
                member.due = now + PAUSES[min(member.deaths, len(PAUSES) - 1)]
            elif now >= member.due:
                self.start_member(member.name)
                started.append(member.name)
        return started

    def stop(self) -> None:
        """Roles first, in reverse order, so that nothing writes to a Redis that is gone."""
        for member in reversed(list(self.members.values())):
            member.started = 0.0
            member.server.stop()
        self.s3.stop()
        self.valkey.stop()

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
