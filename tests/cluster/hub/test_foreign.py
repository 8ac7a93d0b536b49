"""Sources that others reconcile: what their status offers reaches our consumers, by one watch a kind."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from fleetbeat.errors import StateUnavailable
from fleetbeat.hub import foreign
from fleetbeat.kube.errors import NotFound
from fleetbeat.state import State
from tests.support.hub import CRDS, Start, User, Worker, install, registered
from tests.support.wait import until
from tools.clusters import Cluster
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.cluster

APPLIERS = ("Kustomization",)
"""All sources are somebody else's."""
MOMENT = 1767225601_000000


def offered(state: State, ref: str) -> dict[str, Any]:
    """What consumers are told; empty when there is nothing."""
    found: dict[str, Any] = json.loads(state.artifact(ref) or b"{}")
    return found


def consumer(user: User, worker: Worker, source: str) -> str:
    """A Kustomization of `source` that has nothing to do."""
    kind, _, name = source.split("/")
    ref = user.create("Kustomization", f"of-{kind.lower()}", sourceRef={"kind": kind, "name": name})
    worker.run(ref)
    return ref


@pytest.mark.parametrize("kind", ["GitRepository", "OCIRepository", "Bucket", "ExternalArtifact"])
def test_an_artifact_of_another_controller_wakes_consumers(
    registering: Start, user: User, state: State, worker: Worker, kind: str
) -> None:
    """Its record has the URL and no key; another status field is no news; the next revision is."""
    specs = {
        "OCIRepository": {"interval": "1h", "url": "oci://registry.example.com/x"},
        "Bucket": {"interval": "1h", "bucketName": "x", "endpoint": "s3.example.com"},
    }
    with registering(APPLIERS):
        source = user.create(kind, "repo", **specs.get(kind, {}))
        uid = (user.get(source) or {})["metadata"]["uid"]
        ref = consumer(user, worker, source)
        artifact = user.offer(source, "main@sha1:11")
        assert worker.run(ref) == f"{source} changed"
        fence = 0 if kind == "ExternalArtifact" else MOMENT
        assert offered(state, source) == artifact | {"uid": uid, "fence": fence}
        user.client.patch(f"{user.path(kind, 'repo')}/status", {"status": {"conditions": []}})
        user.offer(source, "main@sha1:22")
        assert worker.run(ref) == f"{source} changed"
        assert offered(state, source)["revision"] == "main@sha1:22"
        assert worker.idle(ref)
        assert not registered(state, source)
        assert "finalizers" not in (user.get(source) or {})["metadata"]
    user.delete(source)


def test_what_is_no_longer_offered_is_taken_back(registering: Start, user: User, state: State, worker: Worker) -> None:
    """By its status, by its deletion, and while nobody watched."""
    with registering(APPLIERS):
        refs = [user.create("ExternalArtifact", name) for name in ("a", "b", "c")]
        for ref in refs:
            user.offer(ref, "latest@sha256:11")
        until(lambda: state.offered() >= set(refs))
        user.client.patch(f"{user.path('ExternalArtifact', 'a')}/status", {"status": {"artifact": None}})
        user.delete(refs[1])
        until(lambda: state.offered() & set(refs) == {refs[2]})
    user.delete(refs[2])
    with registering(APPLIERS):
        until(lambda: not state.offered() & set(refs))


def test_a_change_while_nobody_watched_wakes_consumers(
    registering: Start, user: User, state: State, worker: Worker
) -> None:
    """One that stood still does not."""
    with registering(APPLIERS):
        source, still = user.create("ExternalArtifact", "moves"), user.create("Bucket", "still", **BUCKET)
        user.offer(source, "latest@sha256:11")
        user.offer(still, "sha256:11")
        until(lambda: state.offered() >= {source, still} and not state.untold())
        ref, other = consumer(user, worker, source), consumer(user, worker, still)
    user.offer(source, "latest@sha256:22")
    with registering(APPLIERS):
        assert worker.run(ref) == f"{source} changed"
        assert worker.idle(other)


def test_a_registrar_that_dies_before_it_tells_loses_nothing(
    registering: Start, user: User, state: State, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one tells what the last one published."""
    with registering(APPLIERS):
        source = user.create("ExternalArtifact", "x")
        ref = consumer(user, worker, source)

        def dies(*_: object, **__: object) -> int:
            raise StateUnavailable("cut off")

        monkeypatch.setattr(State, "poke_dependents", dies)
        user.offer(source, "latest@sha256:11")
        until(lambda: state.untold() == [source])
    monkeypatch.undo()
    with registering(APPLIERS):
        assert worker.run(ref) == f"{source} changed"
        until(lambda: state.untold() == [])


def test_a_wiped_redis_learns_them_again(
    registering: Start, user: User, state: State, worker: Worker, valkey: EmbeddedValkey
) -> None:
    """With the same records, and consumers run as soon as the registry stands."""
    with registering(APPLIERS):
        source = user.create("GitRepository", "repo")
        ref = consumer(user, worker, source)
        user.offer(source, "main@sha1:11")
        worker.run(ref)
        before = offered(state, source)
        with valkey.client() as client:
            client.flushall()
        until(lambda: not state.rebuilding() and registered(state, ref), timeout=30)
        assert offered(state, source) == before
        assert f"{source} changed" in worker.run(ref)


def test_a_kind_that_is_handed_over_is_forgotten_and_offered(
    registering: Start, user: User, state: State, worker: Worker
) -> None:
    """And comes back: nothing of it runs while it is another controller's."""
    with registering():
        source = user.create("GitRepository", "repo")
        worker.run(source)
        state.publish_artifact(source, b'{"fence":9000000000000000,"key":"k"}')
    user.offer(source, "main@sha1:11")
    with registering(APPLIERS):
        until(lambda: not registered(state, source))
        until(lambda: offered(state, source).get("fence") == MOMENT)
    with registering():
        worker.run(source)
        assert state.publish_artifact(source, b'{"fence":5,"key":"k"}')
    user.patch(source, metadata={"finalizers": []})


def test_a_suspended_source_with_another_controllers_artifact(registering: Start, user: User, state: State) -> None:
    """Its consumers download it from there: it is not in our store."""
    source = user.create("GitRepository", "repo", suspend=True)
    artifact = user.offer(source, "main@sha1:11")
    with registering():
        found = until(lambda: offered(state, source))
    assert (found["url"], "key" in found) == (artifact["url"], False)
    user.patch(source, metadata={"finalizers": []})


def test_one_watch_a_kind_and_no_polling(
    registering: Start, user: User, state: State, worker: Worker, cluster: Cluster
) -> None:
    """Twenty changes of five sources cost a list and a watch of each kind, and no other read."""
    before = len(cluster.requests())
    with registering(APPLIERS):
        refs = [user.create("ExternalArtifact", f"x{number}") for number in range(5)]
        for round_ in range(4):
            for ref in refs:
                user.offer(ref, f"latest@sha256:{round_}")
        until(lambda: all(offered(state, ref).get("revision") == "latest@sha256:3" for ref in refs))
    expected = {kind.plural: ["list", "watch"] for kind in foreign.kinds_of_others(APPLIERS)}
    until(lambda: _reads(cluster, before, expected) == expected, message="the audit of ended watches")


def _reads(cluster: Cluster, before: int, plurals: Iterable[str]) -> dict[str, list[str]]:
    """plural → verbs of the reads since then; the test's own reads are none of these resources."""
    found: dict[str, list[str]] = {}
    for event in cluster.requests()[before:]:
        resource = (event.get("objectRef") or {}).get("resource", "")
        if resource in plurals and event["verb"] in ("get", "list", "watch"):
            found.setdefault(resource, []).append(event["verb"])
    return {resource: sorted(verbs) for resource, verbs in found.items()}


def test_an_absent_kind_holds_nothing_up(registering: Start, user: User, state: State, worker: Worker) -> None:
    """And is found when it is installed; what it offered is gone with it."""
    kind = foreign.KINDS["ExternalArtifact"]
    name = f"{kind.plural}.{kind.group}"
    user.client.delete(f"{CRDS}/{name}")
    until(lambda: _absent(user, f"{CRDS}/{name}"), timeout=60)
    with registering(APPLIERS):
        ref = user.create("Kustomization", "apps")
        worker.run(ref)
        install(user.client, kind)
        source = user.create("ExternalArtifact", "late")
        user.offer(source, "latest@sha256:11")
        until(lambda: offered(state, source), timeout=60)


def _absent(user: User, path: str) -> bool:
    try:
        user.client.get(path)
    except NotFound:
        return True
    return False


BUCKET = {"interval": "1h", "bucketName": "x", "endpoint": "s3.example.com"}
