"""Requests answered by looking: what such an answer says, what it costs, and who gets a whole run instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fleetbeat.api.kinds import KINDS
from fleetbeat.kube.client import KubeClient
from tests.support.deployed import HUB_SHARD, Deployed
from tests.support.hub import install

pytestmark = pytest.mark.cluster


def config_map(namespace: str, name: str, value: str = "1") -> str:
    """The manifest of a ConfigMap."""
    meta = {"name": name, "namespace": namespace}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"key": value}})


def files(namespace: str, names: str, value: str = "1", each: int = 1) -> dict[str, str]:
    """One folder with `each` ConfigMaps for every name."""
    return {
        f"{name}/{number}.yaml": config_map(namespace, f"{name}-{number}", value)
        for name in names
        for number in range(each)
    }


def path(deployed: Deployed, name: str) -> str:
    """API path of the first ConfigMap of a Kustomization."""
    return f"/api/v1/namespaces/{deployed.namespace}/configmaps/{name}-0"


@pytest.fixture
def settled(deployed: Deployed) -> Deployed:
    """Three Ready Kustomizations; `b` depends on `a`."""
    deployed.publish("main@sha1:1", files(deployed.namespace, "abc"))
    for name in "abc":
        deployed.put(name, **({"dependsOn": [{"name": "a"}]} if name == "b" else {}))
    deployed.settle()
    return deployed


def test_answers_are_those_of_a_run(settled: Deployed) -> None:
    """Status, history and event are as a whole run leaves them, and each status is written once."""
    before = settled.status("a")
    token = settled.request("a", "b", "c")
    swept = settled.sweep()
    assert (swept.unchanged, swept.poked) == (3, ())
    assert repr(swept).startswith("hub: 3 answered in ")
    after = settled.status("a")
    assert after["lastHandledReconcileAt"] == token
    entry, was = after["history"][0], before["history"][0]
    assert entry["totalReconciliations"] == was["totalReconciliations"] + 1
    moved = {"lastHandledReconcileAt", "history"}
    assert {k: v for k, v in after.items() if k not in moved} == {k: v for k, v in before.items() if k not in moved}
    moved = {"totalReconciliations", "lastReconciled", "lastReconciledDuration"}
    assert {k: v for k, v in entry.items() if k not in moved} == {k: v for k, v in was.items() if k not in moved}
    assert sorted(change.ref for change in settled.state.changed()) == [settled.ref(name) for name in "abc"]
    events = settled.events()
    assert sorted(event["ref"] for event in events) == [settled.ref(name) for name in "abc"]
    assert {event["reason"] for event in events} == {"ReconciliationSucceeded"}
    assert all(event["message"].endswith("next run in 1h0m0s") for event in events)
    claimed = settled.claim()
    assert (claimed.runs, claimed.sweeps) == ([], [])


def test_an_answer_and_a_run_say_the_same(settled: Deployed) -> None:
    """But for times, tokens and counts."""
    settled.request("a")
    settled.sweep()
    answered, told = settled.status("a"), settled.events()
    settled.forget()
    settled.state.poke([settled.ref("a")], "webhook")
    settled.request("a")
    settled.run(settled.claim().runs[0])

    def plain(status: dict[str, Any]) -> dict[str, Any]:
        history = [{k: v for k, v in e.items() if "econciled" not in k and "Recon" not in k} for e in status["history"]]
        return {**status, "history": history, "lastHandledReconcileAt": ""}

    assert plain(settled.status("a")) == plain(answered)
    keys = [{k: v for k, v in event.items() if k not in ("time", "message")} for event in settled.events()]
    assert keys == [{k: v for k, v in event.items() if k not in ("time", "message")} for event in told]


@pytest.mark.parametrize(("each", "lists"), [(4, 0), (9, 1)])
def test_few_objects_are_read_one_by_one(deployed: Deployed, each: int, lists: int) -> None:
    """A single request does not list the whole hub; many objects of a kind are one LIST. Nothing else is asked."""
    deployed.publish("main@sha1:1", files(deployed.namespace, "a", each=each))
    deployed.put("a")
    deployed.settle()
    deployed.request("a")
    stats = deployed.ctx.hub.stats
    stats.clear()
    assert deployed.sweep().unchanged == 1
    assert sum(stats.values()) == (lists or each)
    assert {verb for verb, _ in stats} == {"GET"}


def drift(deployed: Deployed) -> str:
    """Somebody edits an object."""
    deployed.client.patch(path(deployed, "a"), {"data": {"key": "2"}}, params={"fieldManager": "kubectl-edit"})
    return "drift: "


def deletion(deployed: Deployed) -> str:
    """Somebody deletes an object."""
    deployed.client.delete(path(deployed, "a"))
    return "drift: "


def revision(deployed: Deployed) -> str:
    """The source published, and has not told anybody yet."""
    deployed.publish("main@sha1:2", files(deployed.namespace, "abc", "2"))
    return "revision moved"


def full_check(deployed: Deployed) -> str:
    """The hourly dry run of everything is due."""
    ref = deployed.ref("a")
    memo = json.loads(deployed.state.memos(HUB_SHARD, [ref])[ref] or b"{}")
    deployed.state.command("HSET", f"fb:{{{HUB_SHARD}}}:memo", ref, json.dumps(memo | {"full": 0}))
    return "full check"


def rebuild(deployed: Deployed) -> str:
    """What the last run remembered is lost."""
    deployed.state.command("HDEL", f"fb:{{{HUB_SHARD}}}:memo", deployed.ref("a"))
    return "nothing known since the registry was rebuilt"


CHANGES: list[Callable[[Deployed], str]] = [drift, deletion, revision, full_check, rebuild]


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_gets_a_whole_run(settled: Deployed, change: Callable[[Deployed], str]) -> None:
    """Which handles the request; the others are answered where nothing changed for them."""
    reason = change(settled)
    token = settled.request("a", "c")
    swept = settled.sweep()
    assert settled.ref("a") in swept.poked
    assert "lastHandledReconcileAt" not in settled.status("a")
    runs = {run.ref: run for run in settled.claim().runs}
    assert runs.keys() == set(swept.poked)
    assert runs[settled.ref("a")].why.startswith(f"requested: {reason}")
    for run in runs.values():
        settled.run(run)
    for name in "ac":
        assert settled.status(name)["lastHandledReconcileAt"] == token
    assert settled.status("a")["lastAppliedRevision"] == ("main@sha1:2" if change is revision else "main@sha1:1")


def test_unwatched_variables_mean_a_run(deployed: Deployed) -> None:
    """A ConfigMap of `substituteFrom` may have changed although nothing else did."""
    variables = f"/api/v1/namespaces/{deployed.namespace}/configmaps/variables"
    deployed.client.apply(variables, json.loads(config_map(deployed.namespace, "variables")), "user")
    deployed.publish("main@sha1:1", files(deployed.namespace, "a"))
    deployed.put("a", postBuild={"substituteFrom": [{"kind": "ConfigMap", "name": "variables"}]})
    deployed.settle()
    token = deployed.request("a")
    assert deployed.sweep().poked == (deployed.ref("a"),)
    (run,) = deployed.claim().runs
    assert (run.why, run.urgent) == ("requested: variables may have changed", True)
    deployed.run(run)
    assert deployed.status("a")["lastHandledReconcileAt"] == token


def test_a_dependency_that_is_not_ready_means_a_run(settled: Deployed) -> None:
    """Its own run says whom it waits for."""
    settled.edit("a", path="./nowhere")
    (run,) = settled.claim().runs
    with pytest.raises(Exception, match="nowhere"):
        settled.run(run)
    settled.request("b")
    assert settled.sweep().poked == (settled.ref("b"),)
    (run,) = settled.claim().runs
    assert run.why.startswith("requested: dependency ")
    settled.run(run)
    assert settled.condition("b")["reason"] == "DependencyNotReady"


def test_health_that_was_lost_means_a_run(deployed: Deployed) -> None:
    """An object may become unhealthy without anybody touching its spec."""
    install(deployed.client, KINDS["GitRepository"])
    kind, meta = KINDS["GitRepository"], {"name": "inner", "namespace": deployed.namespace}
    spec = {"interval": "1h", "url": "https://git.example.com/repo.git"}
    inner = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, "spec": spec}
    deployed.publish("main@sha1:1", {"a/inner.yaml": json.dumps(inner)})
    deployed.put("a", wait=True)
    (run,) = deployed.claim().runs
    deployed.run(run)
    report(deployed.client, kind.path(deployed.namespace, "inner", "status"), "True")
    deployed.settle()
    healthy = deployed.condition("a", "Healthy")
    deployed.request("a")
    assert deployed.sweep().unchanged == 1
    assert deployed.condition("a", "Healthy") == healthy
    report(deployed.client, kind.path(deployed.namespace, "inner", "status"), "False")
    deployed.request("a")
    assert deployed.sweep().poked == (deployed.ref("a"),)
    (run,) = deployed.claim().runs
    assert run.why.startswith("requested: health: GitRepository/")


def report(client: KubeClient, status: str, ready: str) -> None:
    """Set the Ready condition of an object that nobody reconciles."""
    told = {
        "type": "Ready",
        "status": ready,
        "reason": "Told",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    client.patch(status, {"status": {"observedGeneration": 1, "conditions": [told]}})


def test_a_request_during_the_sweep_is_answered_by_the_next(settled: Deployed) -> None:
    """The sweep writes nothing of a ref that left it, so the newer value is handled by what begins after it."""
    settled.request("a", "c")
    (found,) = settled.claim().sweeps
    newer = settled.request("a")
    swept = settled.look(found)
    assert "lastHandledReconcileAt" not in settled.status("a")
    assert [change.ref for change in settled.state.changed()] == [settled.ref("c")]
    assert swept.unchanged == 2
    assert settled.sweep().unchanged == 1
    assert settled.status("a")["lastHandledReconcileAt"] == newer
