"""Looks at health that many Kustomizations share, on a real API server: what is read, and what each is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleetbeat.state.reasons import HEALTH_ALONE, health_reason
from tests.support.deployed import Deployed
from tests.support.wait import until

pytestmark = pytest.mark.cluster

NAMES = "abcdef"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"}


def disks(deployed: Deployed, names: str = NAMES) -> dict[str, str]:
    """A folder for each name, with a PersistentVolumeClaim that nothing binds but the test."""
    found = {}
    for name in names:
        meta = {"name": name, "namespace": deployed.namespace}
        obj = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": CLAIM}
        found[f"{name}/disk.yaml"] = json.dumps(obj)
    return found


def bind(deployed: Deployed, *names: str) -> None:
    base = f"/api/v1/namespaces/{deployed.namespace}/persistentvolumeclaims"
    for name in names:
        deployed.client.patch(f"{base}/{name}/status", {"status": {"phase": "Bound"}})


def poke(deployed: Deployed, *names: str) -> None:
    deployed.state.poke([deployed.ref(name) for name in names], health_reason("disk changed"))


def look(deployed: Deployed, *names: str) -> None:
    """A look at all of `names` together."""
    poke(deployed, *names)
    ran = until(deployed.run_due, message="a look")
    assert ran.keys() >= set(names)


def waits(deployed: Deployed, name: str) -> dict[str, Any]:
    """What the next look needs to know; nothing when it does not wait."""
    ref, shard = deployed.ref(name), deployed.shard(name)
    return dict(json.loads(deployed.state.memos(shard, [ref])[ref] or b"{}").get("health") or {})


@pytest.fixture
def waiting(deployed: Deployed) -> Deployed:
    """Six Kustomizations that wait for a disk each."""
    deployed.publish("main@sha1:1", disks(deployed))
    for name in NAMES:
        deployed.put(name, wait=True, timeout="10m")
    deployed.run_due()
    until(lambda: deployed.run_due() and "reason" in deployed.condition("f"), message="they say so")
    return deployed


def test_one_list_for_all_that_wait(waiting: Deployed) -> None:
    """Those that are healthy are Ready, the others wait on."""
    bind(waiting, *"abc")
    stats = waiting.ctx.hub.stats
    stats.clear()
    look(waiting, *NAMES)
    assert [verb for verb, _ in stats] == ["GET"]
    assert sum(stats.values()) == 1
    assert {name: waiting.condition(name)["status"] for name in NAMES} == {
        **dict.fromkeys("abc", "True"),
        **dict.fromkeys("def", "Unknown"),
    }
    assert [bool(waits(waiting, name)) for name in NAMES] == [False] * 3 + [True] * 3
    assert waiting.due_in("a") > 300
    assert waiting.due_in("f") < 60


def test_it_ends_as_a_run_of_its_own_would(waiting: Deployed) -> None:
    """The same conditions, inventory, history and events."""
    bind(waiting, "a")
    look(waiting, "a")
    bind(waiting, "b")
    waiting.state.poke([waiting.ref("b")], HEALTH_ALONE)
    assert waiting.run_due()["b"].endswith(HEALTH_ALONE)
    told = []
    for name in "ab":
        status = waiting.status(name)
        conditions = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
        entry = {k: v for k, v in status["history"][0].items() if k not in ("digest", "firstReconciled")}
        for key in ("lastReconciled", "lastReconciledDuration"):
            assert entry.pop(key)
        events = [e["reason"] for e in waiting.events() if e["ref"] == waiting.ref(name)]
        inventory = [e["id"].replace(f"_{name}_", "_x_") for e in status["inventory"]["entries"]]
        revisions = status["lastAppliedRevision"], status["lastAttemptedRevision"], status["observedGeneration"]
        told.append((conditions, entry, events, inventory, revisions))
    assert told[0] == told[1]
    assert told[0][0] == {"Ready": ("True", "ReconciliationSucceeded"), "Healthy": ("True", "Succeeded")}


def test_whoever_fails_gets_a_run_to_say_so(waiting: Deployed) -> None:
    """The others are none the worse for it."""
    bind(waiting, *"abc")
    ref, shard = waiting.ref("f"), waiting.shard("f")
    memo = json.loads(waiting.state.memos(shard, [ref])[ref] or b"{}")
    memo["health"]["since"] -= 601
    waiting.state.command("HSET", f"fb:{{{shard}}}:memo", ref, json.dumps(memo))
    look(waiting, *NAMES)
    assert waiting.run_due() == {"f": HEALTH_ALONE}
    assert waiting.condition("f")["reason"] == "HealthCheckFailed"
    assert [waiting.condition(name)["status"] for name in NAMES[:-1]] == ["True"] * 3 + ["Unknown"] * 2


def test_a_new_revision_ends_the_wait(waiting: Deployed) -> None:
    """Although nobody was told of it yet: a look never says that something healthy is what the source asks for now."""
    bind(waiting, "a")
    waiting.publish("main@sha1:2", disks(waiting))
    look(waiting, "a")
    assert waiting.run_due()["a"] == "the health check is canceled"
    assert waiting.status("a")["lastAppliedRevision"] == "main@sha1:2"


def test_dependents_hear_of_it(waiting: Deployed) -> None:
    """In the moment that it is Ready."""
    waiting.put("next", path="./a", dependsOn=[{"name": "a"}])
    waiting.run_due()
    assert waiting.condition("next")["reason"] == "DependencyNotReady"
    bind(waiting, "a")
    look(waiting, "a")
    assert waiting.run_due() == {"next": f"dependency {waiting.ref('a')} is ready"}
    assert waiting.condition("next")["status"] == "True"


def test_what_is_not_ours_is_looked_at_by_a_run(waiting: Deployed) -> None:
    """Under the account that the Kustomization names, not under Fleetbeat's."""
    check = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "f"}
    waiting.put("other", path="./e", healthChecks=[check], timeout="10m")
    waiting.run_due()
    poke(waiting, "other")
    assert waiting.run_due()["other"].startswith("health: ")
