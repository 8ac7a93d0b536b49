"""A new artifact that leaves most builds as they are: who is answered by a look, what that says, and who runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleetbeat.state.reasons import artifact_reason
from tests.support.deployed import Deployed

pytestmark = pytest.mark.cluster

NAMES = "abcdefghij"


def files(namespace: str, **values: str) -> dict[str, str]:
    """A folder with one ConfigMap for every name, of value 1 unless said otherwise."""
    found = {}
    for name in NAMES:
        meta = {"name": f"{name}-0", "namespace": namespace}
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"key": values.get(name, "1")}}
        found[f"{name}/0.yaml"] = json.dumps(obj)
    return found


@pytest.fixture
def settled(deployed: Deployed) -> Deployed:
    """Ten Ready Kustomizations; `b` depends on `a`, `c` on `b`, `d` on nobody."""
    deployed.publish("main@sha1:1", files(deployed.namespace))
    before = {"b": "a", "c": "b"}
    for name in NAMES:
        deployed.put(name, **({"dependsOn": [{"name": before[name]}]} if name in before else {}))
    deployed.settle()
    deployed.state.ack((c.shard, c.ref, c.seq) for c in deployed.state.changed(1000))
    return deployed


def push(deployed: Deployed, **values: str) -> None:
    """A commit; its artifact wakes all of them."""
    deployed.publish("main@sha1:2", files(deployed.namespace, **values))
    source = f"GitRepository/{deployed.namespace}/repo"
    deployed.state.poke_dependents(source, artifact_reason(source), urgent=True)


def revisions(deployed: Deployed) -> dict[str, Any]:
    """name → `status.lastAppliedRevision`, where it is not the first."""
    found = {name: deployed.status(name)["lastAppliedRevision"] for name in NAMES}
    return {name: revision for name, revision in found.items() if revision != "main@sha1:1"}


def test_a_commit_elsewhere_is_answered_for_all(settled: Deployed) -> None:
    """In the order of dependencies; no request but reads, one status and one event each."""
    push(settled, z="9")
    stats = settled.ctx.hub.stats
    stats.clear()
    swept = settled.sweep()
    assert (swept.unchanged, swept.poked) == (len(NAMES), ())
    assert {verb for verb, _ in stats} == {"GET"}
    assert revisions(settled) == dict.fromkeys(NAMES, "main@sha1:2")
    status = settled.status("a")
    assert settled.condition("a")["message"] == "Applied revision: main@sha1:2"
    assert status["lastAttemptedRevision"] == "main@sha1:2"
    assert status["history"][0]["metadata"]["revision"] == "main@sha1:2"
    assert status["history"][0]["totalReconciliations"] == 2
    assert sorted(change.ref for change in settled.state.changed(100)) == [settled.ref(name) for name in NAMES]
    assert {event["reason"] for event in settled.events()} == {"ReconciliationSucceeded"}
    claimed = settled.claim()
    assert (claimed.runs, claimed.sweeps) == ([], [])


def test_what_changed_runs_first_and_alone(settled: Deployed) -> None:
    """Dependents of what changed wait for it and follow it; nobody else does."""
    push(settled, a="2", j="2")
    swept = settled.sweep()
    assert set(swept.poked) == {settled.ref(name) for name in "abcj"}
    assert revisions(settled) == dict.fromkeys("defghi", "main@sha1:2")
    ran = settled.run_due()
    assert ran.keys() >= {"a", "j"}
    for _ in range(3):
        settled.run_due()
    assert revisions(settled) == dict.fromkeys(NAMES, "main@sha1:2")
    live = settled.client.get(f"/api/v1/namespaces/{settled.namespace}/configmaps/a-0")
    assert live["data"] == {"key": "2"}


def test_drift_found_by_the_way_gets_a_run(settled: Deployed) -> None:
    """As a run at the new revision would have found it; who depends on it follows."""
    path = f"/api/v1/namespaces/{settled.namespace}/configmaps/b-0"
    settled.client.patch(path, {"data": {"key": "edited"}}, params={"fieldManager": "kubectl-edit"})
    push(settled)
    swept = settled.sweep()
    assert set(swept.poked) == {settled.ref("b"), settled.ref("c")}
    for _ in range(3):
        settled.run_due()
    assert settled.client.get(path)["data"] == {"key": "1"}
    assert revisions(settled) == dict.fromkeys(NAMES, "main@sha1:2")


def test_a_lost_render_cache_costs_runs_only(settled: Deployed) -> None:
    """Another worker, or an emptied disk: every one runs and ends as it would have been answered."""
    for file in settled.ctx.renders.directory.rglob("*.json"):
        file.unlink()
    push(settled)
    assert settled.sweep().unchanged == 0
    for _ in range(4):
        settled.run_due()
    assert revisions(settled) == dict.fromkeys(NAMES, "main@sha1:2")


def test_who_waits_elsewhere_is_woken(settled: Deployed) -> None:
    """A dependent that was not in the sweep runs once its dependency is at the new revision."""
    settled.edit("b", interval="2h")
    push(settled)
    (sweep,) = (claimed := settled.claim()).sweeps
    assert [run.ref for run in claimed.runs] == [settled.ref("b")]
    settled.run(claimed.runs[0])
    assert settled.condition("b")["reason"] == "DependencyNotReady"
    settled.look(sweep)
    for _ in range(3):
        settled.run_due()
    assert revisions(settled) == dict.fromkeys(NAMES, "main@sha1:2")
