"""An installation of the chart whose containers are processes here, each with the rights of its service account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.support.chart import NAMESPACE, Release
from tests.support.image import Image
from tools.clusters import Cluster
from workers.embedded import ports
from workers.embedded.process import Server
from workers.roles import ROLES

RIGHTS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


@dataclass
class Installation:
    """Every role of a rendered chart, run by its own command line under its own account."""

    release: Release
    hub: Cluster
    image: Image
    directory: Path
    secrets: Mapping[str, Mapping[str, str]]
    """What the chart's Secrets hold, by name and key."""
    web: int = field(default_factory=ports.reserve)
    flower: int = field(default_factory=ports.reserve)
    servers: dict[str, Server] = field(default_factory=dict)

    def __enter__(self) -> Installation:
        self.rights().apply(self.hub)
        for role in ROLES:
            self.servers[role] = self._server(role)
            self.servers[role].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in reversed(self.servers.values()):
            server.stop(timeout=30)
        self.rights().delete(self.hub)

    def rights(self) -> Release:
        """The accounts and what they may do; nothing that would run in the cluster."""
        return Release([obj for obj in self.release.objects if obj["kind"] in RIGHTS])

    def _server(self, role: str) -> Server:
        """What the kubelet would start: the container's arguments and variables, and the account's token if mounted."""
        folder = self.directory / role
        folder.mkdir(parents=True)
        env = self.release.environment(role, self.secrets)
        env |= {"FLEETBEAT_WEB_PORT": str(self.web), "FLEETBEAT_FLOWER_PORT": str(self.flower)}
        env |= {"FLEETBEAT_ARTIFACT_URL": f"http://127.0.0.1:{self.web}"}
        pod = self.release.pods()[role]
        if pod["automountServiceAccountToken"]:
            account = self.hub.token_kubeconfig(NAMESPACE, pod["serviceAccountName"])
            file = folder / "kubeconfig"
            file.touch(mode=0o600)
            file.write_text(yaml.safe_dump(account))
            env["FLEETBEAT_KUBECONFIG"] = str(file)
        return self.image.server(role, self.release.container(role)["args"], folder / "scratch", env)

    def check_alive(self) -> None:
        """Fails the test when a role has ended."""
        dead = [server for server in self.servers.values() if server.pid is None]
        assert not dead, "\n".join(f"{server.name} ended:\n{server.tail()}" for server in dead)

    def logs(self) -> str:
        """All that was logged."""
        return "\n".join(f"--- {name}\n{server.log.read_text()}" for name, server in self.servers.items())

    def requests(self) -> dict[str, list[dict[str, Any]]]:
        """role → the requests of its account, impersonated ones included, as audit events."""
        accounts = {pod["serviceAccountName"]: role for role, pod in self.release.pods().items()}
        sent: dict[str, list[dict[str, Any]]] = {role: [] for role in accounts.values()}
        prefix = f"system:serviceaccount:{NAMESPACE}:"
        for event in self.hub.requests():
            user = event["user"]["username"]
            if user.startswith(prefix) and user.removeprefix(prefix) in accounts:
                sent[accounts[user.removeprefix(prefix)]].append(event)
        return sent
