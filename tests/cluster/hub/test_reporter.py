"""Statuses and events reach the hub, once, in order, and on the right object."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from fleetbeat.kube.client import KubeClient
from fleetbeat.state import State
from tests.support.hub import Start, User, Worker
from tests.support.wait import until
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

NOW = "2026-01-01T00:00:00Z"


def ready(message: str = "ok") -> dict[str, Any]:
    """A Ready condition."""
    return {"type": "Ready", "status": "True", "reason": "Succeeded", "message": message, "lastTransitionTime": NOW}


def status_of(user: User, ref: str) -> dict[str, Any]:
    """The live status."""
    live = user.get(ref)
    assert live is not None
    status: dict[str, Any] = live.get("status") or {}
    return status


def shows(user: User, ref: str, status: dict[str, Any]) -> bool:
    """Whether the live status is exactly that."""
    return status_of(user, ref) == status


def unreported(state: State) -> int:
    """Changes that the hub does not have yet."""
    return len(state.changed())


def test_the_status_is_written_whole(registering: Start, reporting: Start, user: User, worker: Worker) -> None:
    """What the next status lacks vanishes, nested fields included; the field manager is the controller's."""
    artifact = {
        "path": "p",
        "url": "http://x",
        "revision": "r",
        "digest": "sha256:ab",
        "lastUpdateTime": NOW,
        "metadata": {"a": "1", "b": "2"},
    }
    first = {"conditions": [ready()], "observedGeneration": 1, "artifact": artifact, "observedIgnore": "*.md"}
    second = {"conditions": [ready("still")], "artifact": artifact | {"metadata": {"a": "1"}}, "observedGeneration": 1}
    with registering(), reporting():
        ref = user.create("GitRepository", "repo")
        worker.run(ref, status=first)
        until(lambda: shows(user, ref, first))
        user.patch(ref, spec={"interval": "2h"})
        worker.run(ref, status=second)
        until(lambda: shows(user, ref, second))
    managers = (user.get(ref) or {})["metadata"]["managedFields"]
    assert [m["manager"] for m in managers if m.get("subresource") == "status"] == ["gotk-source-controller"]


def test_a_status_arrives_within_the_blink_of_an_eye(
    registering: Start, reporting: Start, user: User, worker: Worker, record_property: Any
) -> None:
    """Written as soon as the run finishes, once, and the mark is cleared."""
    with registering(), reporting():
        ref = user.create("GitRepository", "repo")
        shard, run, _ = worker.claim(ref)
        status = {"conditions": [ready()], "observedGeneration": 1}
        begun = time.monotonic()
        worker.state.finish(shard, ref, run.fence, status=json.dumps(status).encode())
        until(lambda: shows(user, ref, status), interval=0.005)
        record_property("seconds", round(time.monotonic() - begun, 3))
        version = (user.get(ref) or {})["metadata"]["resourceVersion"]
        until(lambda: not unreported(worker.state))
        assert (user.get(ref) or {})["metadata"]["resourceVersion"] == version


def test_a_status_for_a_predecessor_is_dropped(
    registering: Start, reporting: Start, user: User, state: State, worker: Worker
) -> None:
    """The name is the same, the uid is not."""
    with registering():
        ref = user.create("GitRepository", "repo")
        worker.run(ref, status={"conditions": [ready("of the first")], "observedGeneration": 1})
    user.patch(ref, metadata={"finalizers": []})
    user.delete(ref)
    user.create("GitRepository", "repo")
    assert unreported(state) == 1
    with reporting():
        until(lambda: not unreported(state))
    assert status_of(user, ref) == {"observedGeneration": -1}


def test_finalizing_a_predecessor_leaves_the_successor_alone(
    registering: Start, reporting: Start, user: User, state: State, worker: Worker
) -> None:
    """Neither its finalizer nor the one of an object that nobody deletes is taken off."""
    with registering():
        ref, alive = user.create("GitRepository", "repo"), user.create("GitRepository", "alive")
        worker.run(ref, status={"$finalized": True})
        worker.run(alive, status={"$finalized": True})
    user.patch(ref, metadata={"finalizers": []})
    user.delete(ref)
    user.create("GitRepository", "repo", finalizers=("finalizers.fluxcd.io",))
    with reporting():
        until(lambda: not unreported(state))
    for left in (ref, alive):
        assert (user.get(left) or {})["metadata"]["finalizers"] == ["finalizers.fluxcd.io"]
        user.patch(left, metadata={"finalizers": []})


def test_what_was_not_written_is_written_by_the_next_reporter(
    registering: Start, reporting: Start, user: User, state: State, worker: Worker
) -> None:
    """Only the latest status counts."""
    with registering():
        ref = user.create("GitRepository", "repo")
        for number in range(3):
            user.patch(ref, spec={"interval": f"{number + 2}h"})
            worker.run(ref, status={"conditions": [ready(str(number))], "observedGeneration": 1})
        with reporting():
            until(lambda: not unreported(state))
        assert status_of(user, ref)["conditions"][0]["message"] == "2"


def test_a_refused_status_is_dropped_and_the_others_go_on(
    registering: Start, reporting: Start, user: User, state: State, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """The schema forbids it, the kind is not ours, it is no object: nothing of that stops the loop."""
    with registering(), reporting():
        bad, good = user.create("GitRepository", "bad"), user.create("GitRepository", "good")
        shard, run, _ = worker.claim(bad)
        state.finish(shard, bad, run.fence, status=b'{"observedGeneration": "many"}')
        worker.run(good, status={"conditions": [ready()], "observedGeneration": 1})
        until(lambda: status_of(user, good).get("conditions"))
        until(lambda: not unreported(state))
        assert any("refuses its status" in line for line in caplog.messages)


def test_statuses_wait_for_the_api_server(
    registering: Start, reporting: Start, user: User, state: State, worker: Worker, cluster: Cluster
) -> None:
    """What happened while it was away is written once it is back."""
    with registering(), reporting():
        ref = user.create("GitRepository", "repo")
        shard, run, given = worker.claim(ref)
        cluster.kill()
        status = {"conditions": [ready()], "observedGeneration": 1}
        event = {"ref": ref, "uid": given.uid, "reason": "Away", "message": "while away"}
        state.finish(shard, ref, run.fence, status=json.dumps(status).encode(), events=[json.dumps(event).encode()])
        cluster.start()
        until(lambda: shows(user, ref, status), timeout=60)
        until(lambda: events(user, "repo"), timeout=60)


def test_two_reporters_write_once(registering: Start, reporting: Start, user: User, worker: Worker) -> None:
    """The second stands by and takes over."""
    with registering():
        ref = user.create("GitRepository", "repo")
        with reporting(), reporting():
            worker.run(ref, status={"conditions": [ready("a")], "observedGeneration": 1})
            until(lambda: status_of(user, ref).get("conditions"))
        with reporting():
            user.patch(ref, spec={"interval": "2h"})
            worker.run(ref, status={"conditions": [ready("b")], "observedGeneration": 1})
            until(lambda: status_of(user, ref)["conditions"][0]["message"] == "b")


def events(user: User, name: str) -> list[dict[str, Any]]:
    """The events of a resource, as `kubectl events --for` finds them."""
    path = f"/api/v1/namespaces/{user.namespace}/events"
    found: list[dict[str, Any]] = user.client.list(path, {"fieldSelector": f"involvedObject.name={name}"})["items"]
    return found


def test_events_are_core_events(
    registering: Start, reporting: Start, user: User, worker: Worker, client: KubeClient
) -> None:
    """In Flux's form; a repeat raises the count and has its own metadata; a malformed entry is skipped."""
    happening = {
        "reason": "ReconciliationFailed",
        "message": "x" * 3000,
        "type": "Warning",
        "metadata": {"kustomize.toolkit.fluxcd.io/revision": "main@sha1:1"},
        "time": NOW,
    }
    with registering(), reporting():
        ref = user.create("Kustomization", "apps")
        worker.run(ref, events=[{"ref": ref, **happening}])
        worker.state.emit([b"not json", b"{}", b'{"ref": "x", "uid": "", "reason": "", "message": ""}'])
        (event,) = until(lambda: events(user, "apps"))
        newer = {"kustomize.toolkit.fluxcd.io/revision": "main@sha1:2"}
        again = happening | {"time": "2026-01-01T00:05:00Z", "metadata": newer}
        user.patch(ref, spec={"interval": "2h"})
        worker.run(
            ref, events=[{"ref": ref, **again}, {"ref": ref, **again}, {"ref": ref, "reason": "A", "message": "b"}]
        )
        until(lambda: len(events(user, "apps")) == 2)
        until(lambda: next(e for e in events(user, "apps") if e["type"] == "Warning")["count"] == 3)
        repeated = next(e for e in events(user, "apps") if e["type"] == "Warning")
    live = user.get(ref) or {}
    assert event["involvedObject"] == {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "namespace": user.namespace,
        "name": "apps",
        "uid": live["metadata"]["uid"],
    }
    assert event["source"]["component"] == event["reportingComponent"] == "kustomize-controller"
    assert (event["reason"], event["message"], event["count"]) == ("ReconciliationFailed", "x" * 3000, 1)
    assert event["metadata"]["annotations"] == happening["metadata"]
    assert repeated["metadata"]["annotations"] == newer
    assert (repeated["firstTimestamp"], repeated["lastTimestamp"]) == (NOW, "2026-01-01T00:05:00Z")


def test_a_new_reporter_counts_on(
    registering: Start, reporting: Start, user: User, state: State, worker: Worker
) -> None:
    """It knows nothing of the Event that its predecessor wrote, and none is written twice."""
    happening = {"reason": "Progressing", "message": "same"}
    with registering():
        ref = user.create("Kustomization", "apps")
        for number in range(2):
            with reporting():
                worker.run(ref, events=[{"ref": ref, **happening}])
                until(lambda: [e["count"] for e in events(user, "apps")] == [number + 1])  # noqa: B023
                until(lambda: not state.events_after(state.position("reporter")), message="it has noted how far it is")
            user.patch(ref, spec={"interval": f"{number + 2}h"})
