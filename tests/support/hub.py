"""The hub role in the test's process, against a real API server with all definitions and a real Valkey."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from fleetbeat.api.crds import crd
from fleetbeat.api.kinds import KINDS, OWNED_BY_DEFAULT, Kind
from fleetbeat.hub import registrar, reporter, role
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import KubeError, NotFound
from fleetbeat.state import Input, Look, Run, State
from fleetbeat.state.shards import ALL
from tests.support.background import running
from tests.support.wait import until
from tools.clusters import Cluster

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def install(client: KubeClient, kind: Kind) -> None:
    """Apply a kind's definition and wait until the API server serves it."""
    definition = crd(kind)
    client.apply(f"{CRDS}/{definition['metadata']['name']}", definition, "test")
    until(lambda: _served(client, kind), timeout=60, message=f"{kind.name} is served")


def _served(client: KubeClient, kind: Kind) -> bool:
    try:
        client.list(kind.path())
    except KubeError:
        return False
    return True


@pytest.fixture(scope="session")
def config(cluster: Cluster) -> ClusterConfig:
    """How the hub is reached."""
    return ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True)


@pytest.fixture(scope="session")
def client(config: ClusterConfig) -> Iterator[KubeClient]:
    """The administrator, with all definitions installed."""
    opened = KubeClient(config)
    for kind in KINDS.values():
        install(opened, kind)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that was lost is taken over within seconds."""
    monkeypatch.setattr(role, "STAND_BY", 0.2)


@pytest.fixture
def state(redis_url: str) -> Iterator[State]:
    """The registry."""
    opened = State(redis_url)
    yield opened
    opened.close()


def registered(state: State, ref: str) -> bool:
    """Whether the registry has it."""
    return state.look(ref) is not None


def looked(state: State, ref: str) -> Look:
    """What the registry has of it."""
    found = state.look(ref)
    assert found is not None
    return found


Start = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def registering(config: ClusterConfig, client: KubeClient, state: State) -> Start:
    """`with registering():` runs a registrar and waits until the registry stands."""

    @contextmanager
    def start(owned: tuple[str, ...] = OWNED_BY_DEFAULT, wait: bool = True) -> Iterator[None]:
        with running(registrar.run(config, state, owned)):
            if wait:
                until(lambda: not state.rebuilding(), timeout=60, message="the registry stands")
            yield

    return start


@pytest.fixture
def reporting(config: ClusterConfig, client: KubeClient, state: State) -> Start:
    """`with reporting():` runs a reporter."""

    @contextmanager
    def start() -> Iterator[None]:
        with running(reporter.run(config, state)):
            yield

    return start


class User:
    """Writes custom resources as a user does."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    def path(self, kind: str, name: str) -> str:
        """API path of a resource."""
        return KINDS[kind].path(self.namespace, name)

    def create(self, kind: str, name: str, finalizers: tuple[str, ...] = (), **spec: Any) -> str:
        """A resource with a valid spec; returns its ref."""
        defaults: dict[str, dict[str, Any]] = {
            "GitRepository": {"interval": "1h", "url": "https://git.example.com/repo.git"},
            "Kustomization": {
                "interval": "1h",
                "prune": True,
                "path": "./",
                "sourceRef": {"kind": "GitRepository", "name": "repo"},
            },
            "Receiver": {},
            "ArtifactGenerator": {
                "sources": [{"alias": "repo", "kind": "GitRepository", "name": "repo"}],
                "artifacts": [{"name": "out", "copy": [{"from": "@repo/**", "to": "@artifact/"}]}],
            },
            "ImagePolicy": {"imageRepositoryRef": {"name": "x"}, "policy": {"semver": {"range": "*"}}},
        }
        meta = {"name": name, "namespace": self.namespace, "finalizers": list(finalizers)}
        spec = defaults.get(kind, {}) | spec
        obj = {"apiVersion": KINDS[kind].api_version, "kind": kind, "metadata": meta, "spec": spec}
        self.client.create(KINDS[kind].path(self.namespace), obj)
        return f"{kind}/{self.namespace}/{name}"

    def get(self, ref: str) -> dict[str, Any] | None:
        """The live resource."""
        kind, _, name = ref.split("/")
        try:
            return self.client.get(self.path(kind, name))
        except NotFound:
            return None

    def patch(self, ref: str, **fields: Any) -> dict[str, Any]:
        """Merge patch."""
        kind, _, name = ref.split("/")
        return self.client.patch(self.path(kind, name), fields)

    def offer(self, ref: str, revision: str, **fields: Any) -> dict[str, Any]:
        """Write `status.artifact`, as another controller does; returns it."""
        kind, namespace, name = ref.split("/")
        path = f"{kind.lower()}/{namespace}/{name}/{revision.rpartition(':')[2]}.tar.gz"
        artifact = {
            "path": path,
            "url": f"http://source-controller.flux-system/{path}",
            "revision": revision,
            "digest": "sha256:" + "ab" * 32,
            "lastUpdateTime": "2026-01-01T00:00:01Z",
            **fields,
        }
        self.client.patch(f"{self.path(kind, name)}/status", {"status": {"artifact": artifact}})
        return artifact

    def request(self, ref: str) -> None:
        """Ask for a run, as `flux reconcile` does."""
        self.patch(ref, metadata={"annotations": {"reconcile.fluxcd.io/requestedAt": uuid.uuid4().hex}})

    def delete(self, ref: str) -> None:
        """Ask for its deletion."""
        kind, _, name = ref.split("/")
        self.client.delete(self.path(kind, name))

    def config_map(self, name: str, **data: str) -> None:
        """Write a ConfigMap."""
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        self.client.apply(f"/api/v1/namespaces/{self.namespace}/configmaps/{name}", obj, "user")


@pytest.fixture
def user(client: KubeClient, namespace: str) -> User:
    """A user of a fresh namespace."""
    return User(client, namespace)


class Worker:
    """Plays beat and workers; what the test does not ask for yet stays claimed."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._claimed: dict[str, tuple[str, Run]] = {}

    def claim(self, ref: str, timeout: float = 20.0) -> tuple[str, Run, Input]:
        """Wait until `ref` is claimed, and start it: (shard, run, what the run is given)."""

        def look() -> tuple[str, Run, Input] | None:
            for shard in ALL:
                self._claimed.update(
                    {run.ref: (shard, run) for run in self.state.claim(shard, lane_cap=10_000, cluster_cap=10_000).runs}
                )
            if ref not in self._claimed:
                return None
            shard, run = self._claimed.pop(ref)
            given = self.state.start(shard, ref, run.fence)
            return None if given is None else (shard, run, given)

        return until(look, timeout=timeout, message=f"{ref} is claimed")  # type: ignore[return-value]

    def run(
        self,
        ref: str,
        status: dict[str, Any] | None = None,
        memo: dict[str, Any] | None = None,
        events: list[dict[str, Any]] | None = None,
        timeout: float = 20.0,
    ) -> str:
        """One whole run with that outcome; returns why it was claimed. A new memo comes with a new status."""
        shard, run, given = self.claim(ref, timeout)
        if memo is not None and status is None:
            status = {"observedGeneration": given.generation, "lastAppliedRevision": str(run.fence)}
        self.state.finish(
            shard,
            ref,
            run.fence,
            status=None if status is None else json.dumps(status).encode(),
            memo=None if memo is None else json.dumps(memo).encode(),
            events=[json.dumps({"uid": given.uid, **event}).encode() for event in events or ()],
        )
        return given.why

    def idle(self, ref: str) -> bool:
        """Whether nothing asks for a run of `ref` before its interval."""
        seen = self.state.inspect(ref)
        return seen is not None and seen.phase == "idle" and not seen.why


@pytest.fixture
def worker(state: State) -> Worker:
    """Beat and workers."""
    return Worker(state)
