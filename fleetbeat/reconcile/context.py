"""What a worker process holds for all of its runs: connections, caches, clients. Made once, lazily, after any fork."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path

from fleetbeat.artifacts.cache import DigestCache
from fleetbeat.artifacts.settings import CacheSettings, StoreSettings
from fleetbeat.artifacts.store import ArtifactStore, preload
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.identity import hub_id
from fleetbeat.reconcile import digestkey
from fleetbeat.reconcile.lease import Heartbeat
from fleetbeat.reconcile.ledgers import Ledgers
from fleetbeat.reconcile.targets import Targets
from fleetbeat.reconcile.watches import Watches
from fleetbeat.render.cache import RenderCache
from fleetbeat.render.engine import Engine
from fleetbeat.settings import Settings
from fleetbeat.state import State


def hub_config(settings: Settings) -> ClusterConfig:
    """How this process reaches the hub: its kubeconfig, else the Pod's service account."""
    if settings.kubeconfig is not None:
        return ClusterConfig.from_kubeconfig(settings.kubeconfig, trusted=True)
    return ClusterConfig.in_cluster()


class Context:
    """Everything a run may use. Parts are made at their first use, so a source worker never starts an engine."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.heartbeat = Heartbeat()
        self._lock = threading.RLock()

    @cached_property
    def state(self) -> State:
        """Redis."""
        return State(self.settings.redis_url)

    @cached_property
    def caches(self) -> CacheSettings:
        """How much disk the caches may take."""
        return CacheSettings.from_env()

    @cached_property
    def artifacts(self) -> DigestCache:
        """Artifacts on disk, whoever made them."""
        return DigestCache(self.directory("artifacts"), self.caches.artifact_bytes)

    @cached_property
    def store(self) -> ArtifactStore:
        """S3, behind the cache on disk."""
        return ArtifactStore(StoreSettings.from_env(), self.artifacts)

    @cached_property
    def engine(self) -> Engine:
        """The child process that renders."""
        return Engine()

    @cached_property
    def renders(self) -> RenderCache:
        """Renders on disk, in their form before decryption and substitution."""
        return RenderCache(self.directory("renders"))

    @cached_property
    def hub(self) -> KubeClient:
        """The hub's API server, under Fleetbeat's own account."""
        return KubeClient(hub_config(self.settings))

    @cached_property
    def targets(self) -> Targets:
        """The clusters that this process applies to."""
        return Targets(self.hub, self.settings.default_kubeconfig_service_account)

    @cached_property
    def watches(self) -> Watches:
        """Which clusters the observer sees."""
        return Watches(self.state)

    @cached_property
    def ledgers(self) -> Ledgers:
        """What runs of this process saved last."""
        return Ledgers()

    @cached_property
    def hub_id(self) -> str:
        """Whose objects these are."""
        return hub_id(self.hub)

    @cached_property
    def digest_key(self) -> bytes:
        """What keeps values from being guessed by the digests of objects."""
        return digestkey.load(self.hub)

    def directory(self, name: str) -> Path:
        """A folder of this process's cache."""
        path = self.settings.cache / name
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def warm(self) -> None:
        """Make now, for apply workers, what takes long and asks no server: the first run does not wait for it then."""
        preload()
        self.engine.parse(())

    def close(self) -> None:
        """Stop what was started; connections close with the process."""
        if "engine" in self.__dict__:
            self.engine.close()
