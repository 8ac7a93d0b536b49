"""`spec.dependsOn` on a real API server: what dependents are woken by, and how a cycle is told."""

from __future__ import annotations

import json
import os
from time import monotonic
from typing import Any

import pytest

from fleetbeat.reconcile import kustomization
from fleetbeat.reconcile.accepting import read_spec
from fleetbeat.reconcile.failure import fail
from fleetbeat.reconcile.healthwait import succeed
from fleetbeat.reconcile.kustomization_work import KustomizationWork
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.run import Pipeline, execute
from tests.support.deployed import HUB_SHARD, Deployed

pytestmark = pytest.mark.cluster

EMPTY = {f"{name}/README.md": "nothing" for name in "abcd"}


def needs(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, **more} for name in names]


def settle(deployed: Deployed) -> list[str]:
    """Run whatever is due until nothing is, without ever waiting for time; returns the names in the order of runs."""
    ran: list[str] = []
    while found := deployed.run_due():
        ran += found
    return ran


def events(deployed: Deployed, reason: str) -> list[tuple[str, str]]:
    """(name, message) of the events with a reason."""
    return [(e["ref"].rpartition("/")[2], e["message"]) for e in deployed.events() if e["reason"] == reason]


def test_a_dependency_that_becomes_ready_wakes_its_dependents(deployed: Deployed) -> None:
    """No time has to pass: each is due as soon as the one before it is Ready."""
    deployed.publish("main@sha1:1", EMPTY)
    deployed.put("c", path="./c", dependsOn=needs("b"))
    deployed.put("b", path="./b", dependsOn=needs("a"))
    for name in ("c", "b"):
        deployed.run_due()
        assert deployed.condition(name)["reason"] == "DependencyNotReady"
    deployed.put("a")
    settle(deployed)
    assert [deployed.condition(name)["status"] for name in "abc"] == ["True"] * 3
    finished = [name for name, _ in events(deployed, "ReconciliationSucceeded")]
    assert finished == ["a", "b", "c"]


def test_a_new_revision_goes_through_in_order(deployed: Deployed) -> None:
    """Whoever shares the source waits until the dependency is at the revision, also when all were Ready before."""
    deployed.publish("main@sha1:1", EMPTY)
    deployed.put("a")
    deployed.put("b", dependsOn=needs("a"))
    settle(deployed)
    deployed.forget()
    deployed.publish("main@sha1:2", EMPTY)
    deployed.state.poke([deployed.ref("b")], "new revision", urgent=True)
    assert deployed.run_due() == {"b": "new revision"}
    said = deployed.condition("b")["message"]
    assert said == f"dependency '{deployed.namespace}/a' is not ready: revision main@sha1:2 has not been applied"
    deployed.state.poke([deployed.ref("a")], "new revision", urgent=True)
    settle(deployed)
    assert [name for name, _ in events(deployed, "ReconciliationSucceeded")] == ["a", "b"]


def test_a_dependency_that_fails_wakes_nobody(deployed: Deployed) -> None:
    """Its dependents could only wait on; at their next look they say what it failed with."""
    deployed.publish("main@sha1:1", {**EMPTY, "a/bad.yaml": "kind: ["})
    deployed.put("b", dependsOn=needs("a"))
    deployed.run_due()
    deployed.put("a")
    assert settle(deployed) == ["a"]
    assert deployed.condition("a")["reason"] == "BuildFailed"
    deployed.again("b")
    assert "is not ready: BuildFailed: " in deployed.condition("b")["message"]


def test_an_expression_is_asked_again_when_the_dependency_changes(deployed: Deployed) -> None:
    """It may hold for a dependency that failed."""
    deployed.publish("main@sha1:1", {**EMPTY, "a/bad.yaml": "kind: ["})
    expression = "dep.status.conditions.exists(c, c.type == 'Ready' && c.reason == 'BuildFailed')"
    deployed.put("b", dependsOn=needs("a", readyExpr=expression))
    deployed.run_due()
    assert deployed.condition("b")["reason"] == "DependencyNotReady"
    deployed.put("a")
    settle(deployed)
    assert deployed.condition("b")["status"] == "True"


def test_a_worker_that_dies_after_its_success_loses_nobody(deployed: Deployed) -> None:
    """The status and the waking are one step."""
    deployed.publish("main@sha1:1", EMPTY)
    deployed.put("b", dependsOn=needs("a"))
    deployed.run_due()
    deployed.put("a")
    (run,) = deployed.claim().runs

    def dies(*_: object, **__: object) -> int:
        raise AssertionError("nothing is to be told after the finish")

    deployed.state.poke_dependents = dies  # type: ignore[method-assign]
    deployed.run(run)
    del deployed.state.poke_dependents
    assert deployed.run_due() == {"b": f"dependency {deployed.ref('a')} is ready"}


@pytest.mark.parametrize(
    ("change", "says"),
    [("suspend", "it is suspended and stays so until it is resumed"), ("delete", "it is being deleted")],
)
def test_a_dependency_that_a_person_stopped(deployed: Deployed, change: str, says: str) -> None:
    """The message says that waiting alone will not do."""
    deployed.publish("main@sha1:1", EMPTY)
    deployed.put("a", suspend=change == "suspend")
    if change == "delete":
        deployed.edit("a")
        deployed.delete("a")
    deployed.put("b", dependsOn=needs("a"))
    (run,) = [run for run in deployed.claim().runs if run.ref == deployed.ref("b")]
    deployed.run(run)
    assert says in deployed.condition("b")["message"]


def test_a_dependency_that_was_ready_when_it_was_suspended_stays_so(deployed: Deployed) -> None:
    """As with Flux, its dependents go on, unless their common source moves ahead of it; its status may lag."""
    deployed.publish("main@sha1:1", EMPTY)
    deployed.put("a")
    deployed.settle()
    deployed.edit("a", suspend=True)
    deployed.put("b", dependsOn=needs("a"))
    runs = {run.ref: run for run in deployed.claim().runs}
    deployed.run(runs[deployed.ref("b")])
    assert deployed.condition("b")["status"] == "True", deployed.condition("b")
    assert deployed.status("a")["observedGeneration"] == 1
    deployed.run(runs[deployed.ref("a")])
    assert deployed.status("a")["observedGeneration"] == 2
    assert deployed.again("b")["status"] == "True", deployed.condition("b")
    deployed.publish("main@sha1:2", EMPTY)
    assert deployed.again("b")["reason"] == "DependencyNotReady"
    told = "revision main@sha1:2 has not been applied; it is suspended and stays so until it is resumed"
    assert deployed.condition("b")["message"].endswith(told)


def test_every_member_reports_the_cycle_and_others_go_on(deployed: Deployed) -> None:
    """Each with the way from itself back to itself, also those that were Ready; who is in none is Ready at once."""
    deployed.publish("main@sha1:1", EMPTY)
    deployed.put("a", dependsOn=needs("b"))
    deployed.put("b", path="./b")
    deployed.put("d", path="./d")
    settle(deployed)
    deployed.forget()
    deployed.edit("b", dependsOn=needs("c"))
    deployed.put("c", path="./c", dependsOn=needs("a"))
    deployed.edit("d", timeout="1m")
    settle(deployed)
    space = deployed.namespace
    for one, two, three in ("abc", "bca", "cab"):
        ready = deployed.condition(one)
        way = " → ".join(f"{space}/{name}" for name in (one, two, three, one))
        assert (ready["status"], ready["reason"]) == ("False", "DependencyNotReady")
        assert ready["message"] == f"dependency cycle: {way}; remove one of these spec.dependsOn entries"
    assert (deployed.condition("d")["status"], deployed.status("d")["observedGeneration"]) == ("True", 2)
    assert sorted(name for name, _ in events(deployed, "DependencyNotReady") if "cycle" in _) == ["a", "b", "c"]
    deployed.edit("c", dependsOn=[])
    settle(deployed)
    assert [deployed.condition(name)["status"] for name in "abc"] == ["True"] * 3


def layered(deployed: Deployed, depth: int, width: int) -> list[list[str]]:
    """Names by layers, each waiting for the whole layer below; the last is put first, so that none finds it ready."""
    layers = [[f"n{layer:02}-{number:02}" for number in range(width)] for layer in range(depth)]
    for layer, names in reversed(list(enumerate(layers))):
        for name in names:
            deployed.put(name, path="./a", dependsOn=needs(*layers[layer - 1]) if layer else [])
    return layers


def test_layers_come_up_in_order(deployed: Deployed) -> None:
    """From nothing, and at the next revision again."""
    layers = layered(deployed, 5, 4)
    for revision in ("main@sha1:1", "main@sha1:2"):
        deployed.forget()
        deployed.publish(revision, {"a/README.md": "nothing"})
        deployed.state.poke([deployed.ref(name) for names in layers for name in names], revision, urgent=True)
        settle(deployed)
        order = _order_of_success(deployed)
        assert (len(order), order) == (20, sorted(order, key=lambda name: name[:3]))


def _succeed(work: KustomizationWork) -> Outcome:
    return succeed(work, "1/1 changed", health=False)


FIRST_STEPS = (read_spec, kustomization.find_source, kustomization.skip_settled, kustomization.await_dependencies)


def test_a_thousand_in_fifty_layers(deployed: Deployed) -> None:
    """In order, woken by events alone, in a few runs each. The steps behind the dependencies are left out."""
    depth, width = 50, 20
    deployed.publish("main@sha1:1", {})
    layered(deployed, depth, width)
    steps = Pipeline(work=KustomizationWork, steps=(*FIRST_STEPS, _succeed), on_error=fail)
    begun, runs = monotonic(), 0
    while due := deployed.claim().runs:  # time never has to pass
        runs += len(due)
        for run in due:
            execute(deployed.ctx, steps, HUB_SHARD, run.ref, run.fence)
    took, order = monotonic() - begun, _order_of_success(deployed)
    assert len(order) == depth * width
    assert order == sorted(order, key=lambda name: name[:3])
    assert runs <= 4 * depth * width
    if os.environ.get("FLEETBEAT_FIGURES"):
        print(json.dumps({"seconds": round(took, 1), "runs": runs}))


def _order_of_success(deployed: Deployed) -> list[str]:
    """Names in the order in which they became Ready, as the stream of events has it."""
    order: list[str] = []
    after, page = "0", deployed.state.events_after(limit=1000)
    while page:
        told = [json.loads(event.data) for event in page]
        order += [e["ref"].rpartition("/")[2] for e in told if e["reason"] == "ReconciliationSucceeded"]
        after = page[-1].id
        page = deployed.state.events_after(after, limit=1000)
    return order
