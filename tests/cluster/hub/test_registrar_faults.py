"""The registry is right again after Redis, the hub or the registrar itself was away, wiped or restored."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from fleetbeat.api.crds import crd
from fleetbeat.api.kinds import KINDS
from fleetbeat.hub import owned, registrar, role
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import NotFound
from fleetbeat.state import Record, State
from tests.support.background import running
from tests.support.hub import CRDS, Start, User, Worker, install, looked, registered
from tests.support.wait import until
from tools.clusters import Cluster
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.cluster


def test_a_standing_registry_is_taken_over(registering: Start, user: User, state: State, worker: Worker) -> None:
    """A registrar that begins again changes only what changed: gone is forgotten, new runs, old keeps its memo."""
    with registering():
        old, gone = user.create("GitRepository", "old"), user.create("GitRepository", "gone")
        worker.run(old, status={"observedGeneration": 1}, memo={"kept": True})
        worker.run(gone)
        epoch = state.command("GET", "fb:epoch")
    user.patch(gone, metadata={"finalizers": []})
    user.delete(gone)
    new = user.create("GitRepository", "new")
    with registering():
        assert worker.run(new) == "created"
        until(lambda: not registered(state, gone))
        assert state.command("GET", "fb:epoch") == epoch
        assert worker.idle(old)
        assert state.memos("source", [old])[old] == b'{"kept": true}'


def test_a_wiped_redis_is_filled_again(
    registering: Start, reporting: Start, user: User, state: State, worker: Worker, valkey: EmbeddedValkey
) -> None:
    """FLUSHALL at any time: a new epoch with the statuses that the hub has, and everything runs."""
    with registering(), reporting():
        ref = user.create("GitRepository", "repo")
        worker.run(ref, status={"observedGeneration": 1})
        until(lambda: (user.get(ref) or {}).get("status"))
        with valkey.client() as client:
            client.flushall()
        until(lambda: not state.rebuilding() and registered(state, ref), timeout=30)
        _, _, given = worker.claim(ref)
    assert given.why == "the registry was rebuilt"
    assert json.loads(given.status or b"{}") == {"observedGeneration": 1}


def test_a_redis_wiped_while_it_is_filled_is_filled_again(
    config: ClusterConfig, user: User, state: State, valkey: EmbeddedValkey
) -> None:
    """An incomplete registry is never declared complete."""
    refs = [user.create("GitRepository", f"repo-{number}") for number in range(20)]
    with running(registrar.run(config, state)), valkey.client() as client:
        for _ in range(5):
            until(lambda: client.exists("fb:rebuild") or client.exists("fb:epoch"), timeout=60, interval=0.001)
            client.flushall()
        until(lambda: not state.rebuilding(), timeout=60)
        until(lambda: all(registered(state, ref) for ref in refs))


def test_a_restarted_redis_is_not_believed(
    config: ClusterConfig, client: KubeClient, user: User, tmp_path: Path
) -> None:
    """Not even with all its data: what happened meanwhile is unknown."""
    ref = user.create("GitRepository", "repo")
    with EmbeddedValkey(tmp_path / "redis", appendonly=True) as server:
        state = State(server.url)
        with running(registrar.run(config, state)):
            until(lambda: not state.rebuilding(), timeout=30)
            first = state.command("GET", "fb:epoch")
            until(lambda: registered(state, ref))
            server.restart()
            until(lambda: state.command("GET", "fb:epoch") not in (None, first), timeout=30)
            assert registered(state, ref)
        state.close()


def test_the_api_server_may_restart(
    registering: Start, user: User, state: State, worker: Worker, cluster: Cluster
) -> None:
    """The watches go on; what happened while it was away is seen."""
    with registering():
        ref = user.create("GitRepository", "repo")
        worker.run(ref)
        cluster.kill()
        cluster.start()
        user.patch(ref, spec={"interval": "3h"})
        assert worker.run(ref, timeout=60) == "generation 2"
        new = user.create("GitRepository", "new")
        assert worker.run(new, timeout=60) == "created"


def test_a_second_registrar_stands_by(
    registering: Start, user: User, state: State, config: ClusterConfig, worker: Worker
) -> None:
    """It takes over when the first ends; writes of a former one are refused."""
    with running(registrar.run(config, state)):
        until(lambda: not state.rebuilding(), timeout=60)
        fence = int(state.command("HGET", "fb:lease:registrar", "fence"))
        with registering():
            assert int(state.command("HGET", "fb:lease:registrar", "fence")) == fence
            ref = user.create("GitRepository", "repo")
            worker.run(ref)
    with registering():
        until(lambda: int(state.command("HGET", "fb:lease:registrar", "fence")) > fence)
        new = user.create("GitRepository", "new")
        assert worker.run(new) == "created"


def test_a_missing_definition_holds_up_nobody(
    registering: Start,
    user: User,
    state: State,
    worker: Worker,
    client: KubeClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other kinds are registered, a log line says what is missing, and it is found once it is installed."""
    monkeypatch.setattr(owned, "ABSENT_AFTER", 0.5)
    kind = KINDS["ImagePolicy"]
    name = f"{CRDS}/{crd(kind)['metadata']['name']}"
    client.delete(name)
    until(lambda: _gone(client, name), timeout=60, message="the definition is gone")
    try:
        with caplog.at_level(logging.WARNING), registering(("GitRepository", "ImagePolicy")):
            ref = user.create("GitRepository", "repo")
            assert worker.run(ref) == "created"
            until(lambda: any("ImagePolicy objects are not installed" in line for line in caplog.messages))
            install(client, kind)
            policy = user.create("ImagePolicy", "late")
            until(lambda: registered(state, policy), timeout=60)
    finally:
        install(client, kind)


def _gone(client: KubeClient, path: str) -> bool:
    try:
        client.get(path)
    except NotFound:
        return True
    return False


def test_config_maps_changed_while_no_registrar_watched_are_made_up_for(
    registering: Start, user: User, worker: Worker
) -> None:
    """A registrar that takes over wakes everybody who names one."""
    with registering():
        ref = user.create("Kustomization", "a", postBuild={"substituteFrom": [{"kind": "ConfigMap", "name": "v"}]})
        worker.run(ref)
    user.config_map("v", a="1")
    with registering():
        assert worker.run(ref) == f"ConfigMap {user.namespace}/v changed"


def test_a_hub_restored_from_a_backup_is_believed(
    registering: Start, user: User, state: State, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its resourceVersions are older than the registry's; the registry is made anew instead of refusing them."""
    monkeypatch.setattr(role, "PAUSES", (0.1, 0.2))
    with registering():
        ref = user.create("GitRepository", "repo")
        worker.run(ref)
        epoch = state.command("GET", "fb:epoch")
        look = looked(state, ref)
    fence = state.acquire("registrar", "the future", 30) or pytest.fail("the role is not free")
    state.register([Record(look.shard, ref, look.uid, "9" * 12, 9, 3_600_000, "hub", look.obj, targets=())], fence)
    state.release("registrar", fence)
    with registering():
        until(lambda: state.command("GET", "fb:epoch") not in (None, epoch), timeout=30)
        assert looked(state, ref).generation == 1
