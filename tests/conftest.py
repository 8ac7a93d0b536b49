"""The servers that tests share: started once a session on first use, from `tools/` and `workers/embedded/`.

Session fixtures are shared, so a test that stops one starts it again; function fixtures hand out fresh names.
"""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workers.embedded.s3 import EmbeddedS3
from workers.embedded.valkey import EmbeddedValkey

if TYPE_CHECKING:
    from tools.clusters import Cluster
    from tools.gitserver import GitServer

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores it, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """The shared Valkey server (`.url`); tests that restart or wipe a server start an EmbeddedValkey of their own."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> str:
    """URL of the shared Valkey server, emptied (functions included) for this test."""
    with valkey.client() as client:
        client.flushall()
        client.function_flush()
    return valkey.url


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedS3]:
    """The shared S3 server: `.endpoint`, `.access_key`, `.secret_key`, `.region`, `.bucket`."""
    with EmbeddedS3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def clusters() -> Iterator[Callable[[int], list[Cluster]]]:
    """`clusters(n)`: the first n of the shared clusters, each an API server with controller-manager and RBAC."""
    from tools.clusters import ClusterSet

    with ClusterSet(audit=True) as running:

        def first(count: int) -> list[Cluster]:
            running.ensure(count)
            return running.clusters[:count]

        yield first


@pytest.fixture(scope="session")
def cluster(clusters: Callable[[int], list[Cluster]]) -> Cluster:
    """The first shared cluster."""
    return clusters(1)[0]


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace on the shared cluster; its deletion is asked for, not waited for."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.create_namespace(name)
    yield name
    cluster.api("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="session")
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """The shared Git server (plain HTTP, no login); `create` takes a fresh repository name each time."""
    from tools.gitserver import GitServer

    with GitServer(Path(tmp_path_factory.mktemp("git"))) as server:
        yield server
