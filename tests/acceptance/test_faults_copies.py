"""Two of every role that may be doubled: no run twice at a time, no commit lost, and no more requests than needed."""

from __future__ import annotations

import itertools
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest
import redis

from tests.support.fleet import Fleet, config_map
from tools.clusters import Cluster

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

COPIES = {"hub": 2, "beat": 2, "source": 2, "apply": 2, "observer": 2}
RECOVERY = 240.0
LINES = 4
COMMITS = 6
INTERVAL = 2.0
SWEEPS = 4
EACH = 3
"""Kustomizations on each cluster."""
WRITES = ("create", "update", "patch", "delete", "deletecollection")


class Flight:
    """The begin and the end of every run, in the order in which Redis saw them."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=None)  # a quiet Redis is no error
        self._steps: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Flight:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        with self._client as client:
            client.set("end-of-flight", 1)
            self._thread.join(30)

    def _listen(self) -> None:
        with self._client.monitor() as monitor:  # type: ignore[no-untyped-call]
            self._listening.set()
            for command in monitor.listen():
                if not self._note(command["command"]):
                    return

    def _note(self, command: str) -> bool:
        """`FCALL fb_start 0 shard ref fence …`; False at the end."""
        words = command.split(" ")
        if words[0] == "FCALL" and words[1] in ("fb_start", "fb_finish"):
            self._steps[words[4]].append((words[1], words[5]))
        return words[:2] != ["SET", "end-of-flight"]

    def runs(self) -> dict[str, list[tuple[int, int]]]:
        """ref → when each finished run began and ended, as positions in one order."""
        return {ref: list(_spans(steps)) for ref, steps in self._steps.items()}


def _spans(steps: list[tuple[str, str]]) -> Iterator[tuple[int, int]]:
    begun: dict[str, int] = {}
    for position, (verb, fence) in enumerate(steps):
        if verb == "fb_start":
            begun.setdefault(fence, position)
        elif fence in begun:
            yield begun.pop(fence), position


def test_two_of_each_never_run_a_ref_twice_at_a_time_and_every_commit_arrives(fleet: Fleet) -> None:
    """Commits pour in faster than they are applied, with requests between them, on two clusters."""
    with Flight(fleet.stack.valkey.url) as flight:
        _pour(fleet)
    runs = flight.runs()
    assert len(runs) == 3 * LINES
    assert all(runs.values())
    assert not {ref: spans for ref, spans in runs.items() if _overlap(spans)}


def _pour(fleet: Fleet) -> None:
    repos = [fleet.repository(f"line-{n}", {"a.yaml": config_map(f"line-{n}", n="0")}) for n in range(LINES)]
    for n in range(LINES):
        fleet.kustomization(f"hub-{n}", f"line-{n}")
        fleet.kustomization(f"edge-{n}", f"line-{n}", edge=True)
    heads = [repo.head() for repo in repos]
    for number in range(COMMITS):
        for n, repo in enumerate(repos):
            heads[n] = fleet.push(repo, f"line-{n}", {"a.yaml": config_map(f"line-{n}", n=str(number))})
            fleet.request("Kustomization", f"edge-{n}")
    for n, head in enumerate(heads):
        for name in (f"hub-{n}", f"edge-{n}"):
            fleet.wait_ready("Kustomization", name, head, RECOVERY)


@pytest.mark.parametrize("role", ["source", "apply"])
def test_each_copy_of_a_worker_has_a_name_of_its_own(fleet: Fleet, role: str) -> None:
    """Flower and the logs tell them apart."""
    logs = [fleet.stack.members[f"{role}-{number}"].server.log for number in (1, 2)]

    def ready() -> list[str]:
        found = [re.search(rf"{role}\S*@\S+ ready", log.read_text()) for log in logs]
        return [name.group() for name in found if name]

    fleet.until(lambda: len(ready()) == 2, f"both {role} workers are ready")
    assert len(set(ready())) == 2


@pytest.fixture(scope="module")
def names(fleet: Fleet) -> list[str]:
    """Kustomizations with a short interval, all Ready and past their first runs."""
    files: dict[str, str | None] = {f"{n}/map.yaml": config_map(f"quiet-{n}") for n in range(EACH)}
    repo = fleet.repository("quiet", files)
    for n in range(EACH):
        fleet.kustomization(f"quiet-hub-{n}", "quiet", path=f"./{n}", interval=f"{INTERVAL:.0f}s")
        fleet.kustomization(f"quiet-edge-{n}", "quiet", path=f"./{n}", interval=f"{INTERVAL:.0f}s", edge=True)
    names = [f"quiet-{where}-{n}" for where in ("hub", "edge") for n in range(EACH)]
    for name in names:
        fleet.wait_ready("Kustomization", name, repo.head(), RECOVERY)
    return names


def test_unchanged_intervals_write_nothing_and_list_each_kind_once(fleet: Fleet, names: list[str]) -> None:
    """No write to either API server, and at most one LIST per kind and cluster and interval."""
    clusters = (fleet.hub, fleet.edge)
    for cluster in clusters:
        fleet.until(partial(_swept, cluster, len(_seen(cluster)), 2), f"first sweeps of {cluster.name}", RECOVERY)
    begun = [len(_seen(cluster)) for cluster in clusters]
    for cluster, before in zip(clusters, begun, strict=True):
        fleet.until(partial(_swept, cluster, before, SWEEPS), f"sweeps of {cluster.name}", RECOVERY)
    for cluster, before in zip(clusters, begun, strict=True):
        seen = _seen(cluster)[before:]
        assert not [_line(request) for request in seen if request["verb"] in WRITES]
        for resource, count in _lists(seen).items():
            assert count <= _seconds(seen) / INTERVAL + 2, f"{cluster.name} {resource}"


@pytest.mark.parametrize(
    ("kind", "plural"), [("Kustomization", "kustomizations"), ("GitRepository", "gitrepositories")]
)
def test_a_requested_run_writes_its_status_once(fleet: Fleet, names: list[str], kind: str, plural: str) -> None:
    """One PATCH of the status subresource, whatever the run does."""
    name = names[-1] if kind == "Kustomization" else "quiet"
    before = len(_seen(fleet.hub))
    for _ in range(2):
        fleet.reconcile(kind, name, RECOVERY)

    def writes() -> list[dict[str, Any]]:
        return [request for request in _seen(fleet.hub)[before:] if _is_status_of(request, plural, name)]

    fleet.until(lambda: len(writes()) >= 2, "the audit log has both")
    assert [request["verb"] for request in writes()] == ["patch", "patch"], [_line(request) for request in writes()]


def _seen(cluster: Cluster) -> list[dict[str, Any]]:
    """Fleetbeat's requests, oldest first; those of the tests have another user agent."""
    return [request for request in cluster.requests() if "bench" not in request.get("userAgent", "")]


def _lists(seen: list[dict[str, Any]]) -> Counter[str]:
    """How often each kind was listed over all namespaces; opening a watch is none."""
    return Counter(request["objectRef"]["resource"] for request in seen if request["verb"] == "list")


def _swept(cluster: Cluster, since: int, times: int) -> bool:
    return _lists(_seen(cluster)[since:])["configmaps"] >= times


def _seconds(seen: list[dict[str, Any]]) -> float:
    times = [datetime.fromisoformat(request["requestReceivedTimestamp"]).timestamp() for request in seen]
    return max(times) - min(times)


def _is_status_of(request: dict[str, Any], plural: str, name: str) -> bool:
    target = request.get("objectRef") or {}
    return (target.get("resource"), target.get("name"), target.get("subresource")) == (plural, name, "status")


def _line(request: dict[str, Any]) -> str:
    return f"{request['verb']} {request['requestURI']} {request.get('userAgent', '')}"


def _overlap(spans: list[tuple[int, int]]) -> bool:
    ordered = sorted(spans)
    return any(before[1] > after[0] for before, after in itertools.pairwise(ordered))
