"""Processes die with SIGKILL, caches are emptied, objects never become healthy: commits arrive all the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
import pytest
import yaml

from fleetbeat.state import State
from tests.support.fleet import Fleet, config_map
from tests.support.wait import until
from tools.clusters import Cluster
from tools.gitrepo import GitRepo

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

MAPS = "/api/v1/namespaces/default/configmaps"
RECOVERY = 240.0
"""Seconds; a killed run is taken over when its lease of 15 s ends."""
EMPTIED = 30
"""How often the caches are emptied while one commit is on its way."""
STUCK = 10
"""More than the apply worker has threads."""


@dataclass
class Delivery:
    """One repository that both clusters follow; every commit replaces one object and changes another."""

    fleet: Fleet
    repo: GitRepo
    number: int = 0

    @property
    def consumers(self) -> dict[str, Cluster]:
        return {"line-hub": self.fleet.hub, "line-edge": self.fleet.edge}

    def commit(self) -> str:
        """Push the next state and ask the source to look."""
        self.number += 1
        drop, add = f"step-{self.number - 1}", f"step-{self.number}"
        files: dict[str, str | None] = {
            f"{drop}.yaml": None,
            f"{add}.yaml": config_map(add),
            "keep.yaml": config_map("keep", n=str(self.number)),
        }
        return self.fleet.push(self.repo, "line", files)

    def applied(self, head: str) -> bool:
        """Whether both Kustomizations say so."""
        statuses = [self.fleet.get("Kustomization", name)["status"] for name in self.consumers]
        return all(status.get("lastAppliedRevision", "").endswith(head) for status in statuses)

    def arrived(self, head: str, timeout: float = RECOVERY) -> None:
        """Wait until both clusters are at `head` with exactly what it holds."""
        for name, cluster in self.consumers.items():
            self.fleet.wait_ready("Kustomization", name, head, timeout)
            live = maps(cluster)
            assert {n for n in live if n.startswith(("step-", "keep"))} == {f"step-{self.number}", "keep"}
            assert live["keep"]["data"] == {"n": str(self.number)}


@pytest.fixture(scope="module")
def line(fleet: Fleet) -> Iterator[Delivery]:
    """A delivery that has worked once."""
    files: dict[str, str | None] = {"keep.yaml": config_map("keep", n="0"), "step-0.yaml": config_map("step-0")}
    delivery = Delivery(fleet, fleet.repository("line", files))
    fleet.kustomization("line-hub", "line")
    fleet.kustomization("line-edge", "line", edge=True)
    delivery.arrived(delivery.repo.head())
    yield delivery


@pytest.fixture
def state(fleet: Fleet) -> Iterator[State]:
    """Redis, to see what is at work."""
    state = State(fleet.stack.valkey.url)
    yield state
    state.close()


@pytest.mark.parametrize("role", ["hub", "beat", "observer", "web"])
def test_killing_a_role_with_a_commit_on_its_way_delays_it_only(fleet: Fleet, line: Delivery, role: str) -> None:
    """The commit arrives on both clusters, and nothing was deleted and made anew."""
    before = fleet.uids("keep")
    head = line.commit()
    fleet.stack.kill(role)
    line.arrived(head)
    assert fleet.uids("keep") == before


def test_killing_the_source_worker_in_the_middle_of_a_fetch_repeats_the_fetch(fleet: Fleet, line: Delivery) -> None:
    """Another run takes over when the lease ends."""
    before = fleet.uids("keep")
    fetches = fleet.git.counts("line").total()
    fleet.git.faults.delay = 1.5
    try:
        head = line.commit()
        fleet.until(lambda: fleet.git.counts("line").total() > fetches, "the fetch began")
        orphans = kill(fleet, "source")
    finally:
        fleet.git.faults.delay = 0.0
    fleet.until(lambda: not any(map(lives, orphans)), "nothing outlives the worker for long", RECOVERY)
    line.arrived(head)
    assert fleet.uids("keep") == before


def test_killing_the_apply_worker_in_the_middle_of_an_apply_repeats_the_apply(
    fleet: Fleet, line: Delivery, state: State
) -> None:
    """Half of a commit on a cluster is completed; what the ledger's superset names beyond it is pruned."""
    before = fleet.uids("keep")
    head = line.commit()
    refs = [f"Kustomization/flux-system/{name}" for name in line.consumers]
    until(lambda: "running" in state.live(refs).values(), timeout=60, interval=0.002, message="an apply began")
    orphans = kill(fleet, "apply")
    fleet.until(lambda: not any(map(lives, orphans)), "nothing outlives the worker for long", RECOVERY)
    line.arrived(head)
    assert fleet.uids("keep") == before


def test_emptying_every_cache_again_and_again_costs_time_only(fleet: Fleet, line: Delivery) -> None:
    """Artifacts, Git mirrors and renders are made anew, also when they vanish in the middle of a run."""
    before = fleet.uids("keep")
    for _ in range(3):
        head = line.commit()
        looks = iter(range(EMPTIED))

        def arrived(head: str = head, looks: Iterator[int] = looks) -> bool:
            if next(looks, None) is not None:
                empty_caches(fleet)
            return line.applied(head)

        fleet.until(arrived, f"arrival of {head}", RECOVERY)
    line.arrived(head)
    assert fleet.uids("keep") == before


def test_objects_that_never_become_healthy_delay_nobody_else(fleet: Fleet, line: Delivery) -> None:
    """More of them than the apply worker has threads wait, and a commit passes them by."""
    files: dict[str, str | None] = {f"stuck-{n}/app.yaml": deployment(f"stuck-{n}") for n in range(STUCK)}
    fleet.repository("stuck", files)
    for n in range(STUCK):
        fleet.kustomization(f"stuck-{n}", "stuck", path=f"./stuck-{n}", edge=True, wait=True, timeout="9m")
    for n in range(STUCK):
        fleet.until(partial(_waits, fleet, f"stuck-{n}"), f"stuck-{n} waits for health", RECOVERY)
    line.arrived(line.commit(), timeout=60)
    assert all(_waits(fleet, f"stuck-{n}") for n in range(STUCK))


def kill(fleet: Fleet, role: str) -> list[psutil.Process]:
    """SIGKILL a role; returns the processes that it had started."""
    pid = fleet.stack.members[role].server.pid
    assert pid is not None
    children: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    assert children
    fleet.stack.kill(role)
    return children


def lives(process: psutil.Process) -> bool:
    """False also for what nobody has reaped yet."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def empty_caches(fleet: Fleet) -> None:
    """Remove everything in every role's cache folder, whatever is being written there."""
    for name in fleet.stack.members:
        for folder in (fleet.stack.directory / "roles" / name / "cache").iterdir():
            shutil.rmtree(folder, ignore_errors=True)


def maps(cluster: Cluster) -> Mapping[str, dict[str, Any]]:
    """The ConfigMaps of the default namespace by name."""
    return {item["metadata"]["name"]: item for item in cluster.api("GET", MAPS)["items"]}


def deployment(name: str) -> str:
    """A Deployment whose Pod nobody runs, because the clusters have no node."""
    container = {"name": "app", "image": "registry.example.com/app:1"}
    labels = {"app": name}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    meta = {"name": name, "namespace": "default"}
    return yaml.safe_dump({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})


def _waits(fleet: Fleet, name: str) -> bool:
    ready = fleet.condition("Kustomization", name)
    return (ready.get("status"), ready.get("reason")) == ("Unknown", "Progressing")
