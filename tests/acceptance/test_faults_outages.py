"""Redis is wiped, restarted or restored, S3 or an API server is away: noticed, told, healed, and nothing goes back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from tests.support.fleet import Fleet, config_map
from tools.gitrepo import GitRepo

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

MAPS = "/api/v1/namespaces/default/configmaps"
RECOVERY = 240.0
QUICK = 60.0
"""Seconds from the return of an API server to the commit on its cluster, on a busy machine."""
BROKEN = "StorageOperationFailed"


@pytest.fixture(scope="module")
def repo(fleet: Fleet) -> GitRepo:
    """A repository that both clusters follow."""
    repo = fleet.repository("app", {"keep.yaml": config_map("keep", n="0"), "old.yaml": config_map("old")})
    fleet.kustomization("app-hub", "app")
    fleet.kustomization("app-edge", "app", edge=True)
    arrived(fleet, repo.head())
    return repo


def wipe(fleet: Fleet) -> None:
    """FLUSHALL."""
    with fleet.stack.valkey.client() as client:
        client.flushall()


def restart(fleet: Fleet) -> None:
    """Another server process over the same data."""
    fleet.stack.valkey.restart()


def crash(fleet: Fleet) -> None:
    """SIGKILL, and another server process over what was saved."""
    fleet.stack.valkey.kill()
    fleet.stack.valkey.start()


@pytest.mark.parametrize("disaster", [wipe, restart, crash])
def test_a_redis_disaster_with_a_commit_on_its_way_delays_it_only(
    fleet: Fleet, repo: GitRepo, disaster: Callable[[Fleet], None]
) -> None:
    """A new epoch begins by itself, the commit arrives, and what stays in Git keeps its uid."""
    before, epoch = fleet.uids("keep"), epoch_of(fleet)
    name = disaster.__name__
    head = fleet.push(repo, "app", {"keep.yaml": config_map("keep", n=name), f"{name}.yaml": config_map(name)})
    disaster(fleet)
    arrived(fleet, head)
    fleet.until(lambda: epoch_of(fleet) not in (epoch, b""), "a new epoch", RECOVERY)
    assert fleet.uids("keep") == before
    for cluster in (fleet.hub, fleet.edge):
        assert cluster.api("GET", f"{MAPS}/{name}")["metadata"]["name"] == name


def test_an_older_redis_neither_rolls_back_nor_prunes(fleet: Fleet, repo: GitRepo, tmp_path: Path) -> None:
    """With B applied, Redis as it was at A and no Git server to ask, B stays; then C arrives."""
    snapshot = tmp_path / "older.rdb"
    fleet.stack.valkey.snapshot(snapshot)
    files = {"keep.yaml": config_map("keep", n="B"), "new.yaml": config_map("new"), "old.yaml": None}
    head = fleet.push(repo, "app", files)
    arrived(fleet, head)
    before, epoch = fleet.uids("keep"), epoch_of(fleet)
    fleet.git.stop()
    try:
        fleet.stack.valkey.restore(snapshot)
        fleet.until(lambda: epoch_of(fleet) not in (epoch, b""), "a new epoch", RECOVERY)
        fleet.wait_failed("GitRepository", "app", "GitOperationFailed", RECOVERY)
        for name in ("app-hub", "app-edge"):
            fleet.reconcile("Kustomization", name, RECOVERY)
        for cluster in (fleet.hub, fleet.edge):
            live = {item["metadata"]["name"]: item for item in cluster.api("GET", MAPS)["items"]}
            assert live["keep"]["data"] == {"n": "B"}
            assert "new" in live
            assert "old" not in live
        assert fleet.uids("keep") == before
    finally:
        fleet.git.start()
    arrived(fleet, fleet.push(repo, "app", {"keep.yaml": config_map("keep", n="C")}))


def test_a_stopped_s3_is_told_on_source_and_consumer_and_heals_by_itself(fleet: Fleet, repo: GitRepo) -> None:
    """Both say StorageOperationFailed; nobody asks for a run after S3 is back."""
    head = repo.head()
    fleet.stack.s3.stop()
    try:
        shutil.rmtree(fleet.stack.directory / "roles" / "apply" / "cache")
        fleet.change("Kustomization", "app-edge", timeout="91s")
        message = fleet.wait_failed("Kustomization", "app-edge", BROKEN, RECOVERY)["message"]
        assert "reading" in message
        head = fleet.push(repo, "app", {"keep.yaml": config_map("keep", n="after S3")})
        message = fleet.wait_failed("GitRepository", "app", BROKEN, RECOVERY)["message"]
        assert "endpoint" in message
        assert fleet.condition("GitRepository", "app", BROKEN)["status"] == "True"
    finally:
        fleet.stack.s3.start()
    arrived(fleet, head)
    fleet.until(lambda: not fleet.condition("GitRepository", "app", BROKEN), "the source tells it no longer", RECOVERY)


def test_a_consumer_whose_artifact_could_not_be_read_heals_by_itself(fleet: Fleet, repo: GitRepo) -> None:
    """Although its source has nothing new to tell it when S3 is back."""
    fleet.stack.s3.stop()
    try:
        shutil.rmtree(fleet.stack.directory / "roles" / "apply" / "cache")
        fleet.change("Kustomization", "app-hub", timeout="91s")
        fleet.wait_failed("Kustomization", "app-hub", BROKEN, RECOVERY)
    finally:
        fleet.stack.s3.start()
    fleet.wait_ready("Kustomization", "app-hub", repo.head(), RECOVERY)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_lost_cluster_is_told_costs_others_nothing_and_recovers_quickly(
    fleet: Fleet, repo: GitRepo, how: str
) -> None:
    """The hub's Kustomization goes on; the edge's names the server, and has the commit soon after its return."""
    getattr(fleet.edge, how)()
    try:
        head = fleet.push(repo, "app", {"keep.yaml": config_map("keep", n=how)})
        fleet.wait_ready("Kustomization", "app-hub", head, QUICK)
        message = fleet.wait_failed("Kustomization", "app-edge", "ReconciliationFailed", RECOVERY)["message"]
        assert fleet.edge.url in message
        assert "cannot be reached: connection refused" in message
        again = fleet.push(repo, "app", {"b.yaml": config_map(f"while-away-{how}")})
        fleet.wait_ready("Kustomization", "app-hub", again, QUICK)
    finally:
        fleet.edge.start()
    back = monotonic()
    fleet.wait_ready("Kustomization", "app-edge", again, RECOVERY)
    assert monotonic() - back < QUICK


def test_a_lost_hub_stops_nothing_for_good(fleet: Fleet, repo: GitRepo) -> None:
    """Watches, statuses and runs go on by themselves when it is back; what was committed meanwhile arrives."""
    fleet.hub.stop()
    try:
        repo.commit({"keep.yaml": config_map("keep", n="hub away")})
    finally:
        fleet.hub.start()
    head = fleet.push(repo, "app", {"keep.yaml": config_map("keep", n="hub back")})
    for name in ("app-hub", "app-edge"):
        fleet.wait_ready("Kustomization", name, head, QUICK)


def test_runs_that_failed_while_the_hub_was_away_are_repeated_soon(fleet: Fleet, repo: GitRepo) -> None:
    """A source with a short interval finds a commit while the hub is away; both clusters have it soon after."""
    fleet.source("app", repo.url, interval="2s")
    fleet.wait_ready("GitRepository", "app", repo.head(), RECOVERY)
    seen = fleet.git.counts("app")["fetch"]
    fleet.hub.stop()
    try:
        head = repo.commit({"keep.yaml": config_map("keep", n="found while away")})
        fleet.until(lambda: fleet.git.counts("app")["fetch"] > seen, "the commit is fetched", RECOVERY)
    finally:
        fleet.hub.start()
        fleet.source("app", repo.url, interval="10m")
    for name in ("app-hub", "app-edge"):
        fleet.wait_ready("Kustomization", name, head, RECOVERY)


def arrived(fleet: Fleet, head: str) -> None:
    """Wait until both clusters are at `head`."""
    for name in ("app-hub", "app-edge"):
        fleet.wait_ready("Kustomization", name, head, RECOVERY)


def epoch_of(fleet: Fleet) -> bytes:
    """The epoch's name, empty while rebuilding."""
    with fleet.stack.valkey.client() as client:
        return client.get("fb:epoch") or b""
