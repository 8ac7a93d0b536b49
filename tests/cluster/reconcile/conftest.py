"""A worker's context against a real API server, Redis and S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.reconcile.context import Context
from fleetbeat.settings import Settings
from tests.support.deployed import Deployed
from tests.support.sources import Sources
from tools import binaries
from tools.clusters import Cluster
from tools.gitserver import GitServer
from workers.embedded.s3 import EmbeddedS3


@pytest.fixture(scope="session")
def client(cluster: Cluster) -> Iterator[KubeClient]:
    """The administrator's client."""
    opened = KubeClient(ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True))
    yield opened
    opened.close()


@pytest.fixture
def ctx(
    cluster: Cluster, redis_url: str, s3: EmbeddedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Context]:
    """What an apply worker holds."""
    binaries.find(binaries.ENGINE)
    values = {"BUCKET": s3.bucket, "ENDPOINT": s3.endpoint, "ACCESS_KEY": s3.access_key, "SECRET_KEY": s3.secret_key}
    for name, value in {**values, "REGION": s3.region}.items():
        monkeypatch.setenv(f"FLEETBEAT_S3_{name}", value)
    monkeypatch.setenv("FLEETBEAT_CACHE_DIR", str(tmp_path))
    made = Context(Settings(redis_url=redis_url, kubeconfig=cluster.kubeconfig, cache=tmp_path))
    yield made
    made.close()
    made.hub.close()
    made.store.close()
    made.state.close()


@pytest.fixture
def deployed(ctx: Context, client: KubeClient, namespace: str) -> Deployed:
    """No Kustomization yet."""
    return Deployed(ctx, client, namespace)


@pytest.fixture
def sources(ctx: Context, client: KubeClient, namespace: str) -> Sources:
    """No GitRepository yet."""
    return Sources(ctx, client, namespace)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """A Git server of this test's own."""
    with GitServer(tmp_path / "git") as made:
        yield made
