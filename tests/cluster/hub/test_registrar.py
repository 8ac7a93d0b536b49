"""The registry follows the resources of the hub: what becomes a run, and what is only noted."""

from __future__ import annotations

import json

import pytest

from fleetbeat.api.meta import REQUESTED_AT
from fleetbeat.kube.client import PARTIAL
from fleetbeat.kube.metadata import Live, decode_partial
from fleetbeat.state import State
from tests.support.hub import Start, User, Worker, looked, registered
from tests.support.wait import until

pytestmark = pytest.mark.cluster

FINALIZER = "finalizers.fluxcd.io"


def test_a_new_resource_gets_its_finalizer_and_then_a_run(
    registering: Start, user: User, state: State, worker: Worker
) -> None:
    """What runs is the resource as it is with the finalizer."""
    with registering():
        ref = user.create("GitRepository", "repo", finalizers=("example.com/other",))
        _, _, given = worker.claim(ref)
    assert given.why == "created"
    obj = json.loads(given.obj)
    assert obj["metadata"]["finalizers"] == ["example.com/other", FINALIZER]
    assert (obj["kind"], "status" in obj, "managedFields" in obj["metadata"]) == ("GitRepository", False, False)
    user.patch(ref, metadata={"finalizers": []})


@pytest.mark.parametrize(
    ("kind", "finalizer"),
    [("GitRepository", FINALIZER), ("ArtifactGenerator", "source.extensions.fluxcd.io/finalizer")],
)
def test_our_finalizer_is_no_drift(registering: Start, user: User, kind: str, finalizer: str) -> None:
    """Whoever applied the resource need not look at it again; somebody else's finalizer is another matter."""

    def seen() -> str:
        found = user.client.request("GET", user.path(kind, "repo"), accept=PARTIAL)
        return Live.of(decode_partial(found).metadata).fingerprint

    ref = user.create(kind, "repo")
    before = seen()
    with registering():
        until(lambda: (user.get(ref) or {})["metadata"].get("finalizers") == [finalizer])
    assert seen() == before
    user.patch(ref, metadata={"finalizers": [finalizer, "example.com/other"]})
    assert seen() != before
    user.patch(ref, metadata={"finalizers": []})


@pytest.mark.parametrize("annotations", [{}, {"example.com/a": "b"}], ids=["alone", "beside"])
@pytest.mark.parametrize(("manager", "drifts"), [("flux", False), ("kubectl-annotate", True)])
def test_a_request_is_no_drift(user: User, annotations: dict[str, str], manager: str, drifts: bool) -> None:
    """Whoever applied the resource need not look at it again, unless kubectl's fields are to be taken over."""

    def seen() -> str:
        found = user.client.request("GET", user.path("GitRepository", "repo"), accept=PARTIAL)
        return Live.of(decode_partial(found).metadata).fingerprint

    ref = user.create("GitRepository", "repo")
    user.patch(ref, metadata={"annotations": annotations})
    before = seen()
    for token in ("once", "again"):
        request = {"metadata": {"annotations": {REQUESTED_AT: token}}}
        user.client.patch(user.path("GitRepository", "repo"), request, params={"fieldManager": manager})
        assert (seen() != before) is drifts


def test_changes_that_matter_run_and_others_do_not(
    registering: Start, user: User, state: State, worker: Worker
) -> None:
    """Generation and request run it; a label is only noted; a status is not even that."""
    with registering():
        ref = user.create("GitRepository", "repo")
        assert worker.run(ref) == "created"
        user.patch(ref, spec={"interval": "2h"})
        assert worker.run(ref) == "generation 2"
        user.patch(ref, metadata={"annotations": {"reconcile.fluxcd.io/requestedAt": "x"}})
        assert worker.run(ref) == "requested"
        user.client.patch(f"{user.path('GitRepository', 'repo')}/status", {"status": {"observedGeneration": 2}})
        user.patch(ref, metadata={"labels": {"team": "a"}})
        until(lambda: b'"team"' in looked(state, ref).obj)
        assert worker.idle(ref)
        assert b'"observedGeneration":2' not in (looked(state, ref).status or b"")


def test_deletion_runs_urgently_and_ends_in_being_forgotten(
    registering: Start, reporting: Start, user: User, state: State, worker: Worker
) -> None:
    """Also of a suspended resource; the reporter takes our finalizer off, and no other."""
    with registering(), reporting():
        ref = user.create("Kustomization", "apps", finalizers=("example.com/other",), suspend=True)
        assert worker.run(ref) == "created"
        user.delete(ref)
        assert worker.run(ref, status={"$finalized": True}) == "deleted"
        until(lambda: not registered(state, ref))
        live = user.get(ref)
        assert live is not None
        assert live["metadata"]["finalizers"] == ["example.com/other"]
        user.patch(ref, metadata={"finalizers": []})
        assert user.get(ref) is None


def test_a_resource_being_deleted_without_our_finalizer_is_left_alone(
    registering: Start, user: User, state: State
) -> None:
    """It was deleted before we saw it, so there is nothing to clean up."""
    ref = user.create("GitRepository", "doomed", finalizers=("example.com/other",))
    user.delete(ref)
    with registering():
        other = user.create("GitRepository", "repo")
        until(lambda: registered(state, other))
        assert not registered(state, ref)
    user.patch(ref, metadata={"finalizers": []})


def test_a_successor_of_the_same_name_starts_anew(registering: Start, user: User, state: State, worker: Worker) -> None:
    """Deleted and made again while nobody watched: status and memo of the first are not the second's."""
    with registering():
        ref = user.create("GitRepository", "repo")
        worker.run(ref, status={"observedGeneration": 5}, memo={"fp": {}})
        first = looked(state, ref).uid
    user.patch(ref, metadata={"finalizers": []})
    user.delete(ref)
    user.create("GitRepository", "repo")
    with registering():
        until(lambda: (found := state.look(ref)) and found.uid != first)
        _, _, given = worker.claim(ref)
    assert given.memo is None
    assert json.loads(given.status or b"{}") == {"observedGeneration": -1}


def test_a_referred_config_map_wakes_its_referrers(
    registering: Start, user: User, state: State, worker: Worker
) -> None:
    """Created, changed and deleted; one that nobody names wakes nobody."""
    with registering():
        entry = {"kind": "ConfigMap", "name": "vars", "optional": True}
        ref = user.create("Kustomization", "apps", postBuild={"substituteFrom": [entry]})
        other = user.create("Kustomization", "other")
        why = f"ConfigMap {user.namespace}/vars changed"
        worker.run(ref)
        worker.run(other)
        user.config_map("unrelated", a="1")
        user.config_map("vars", a="1")
        assert worker.run(ref) == why
        user.config_map("vars", a="2")
        assert worker.run(ref) == why
        user.client.delete(f"/api/v1/namespaces/{user.namespace}/configmaps/vars")
        assert worker.run(ref) == why
        assert worker.idle(other)


def test_a_decryption_secret_wakes_its_referrers(registering: Start, user: User, state: State, worker: Worker) -> None:
    """New keys are tried at once; the Secret of that name in another namespace wakes nobody."""
    with registering():
        decryption = {"provider": "sops", "secretRef": {"name": "keys"}}
        ref = user.create("Kustomization", "apps", decryption=decryption)
        worker.run(ref)
        body = {"metadata": {"name": "keys"}, "stringData": {"a.agekey": "1"}}
        user.client.create("/api/v1/namespaces/default/secrets", body)
        user.client.create(f"/api/v1/namespaces/{user.namespace}/secrets", body)
        assert worker.run(ref) == f"Secret {user.namespace}/keys changed"
        user.client.patch("/api/v1/namespaces/default/secrets/keys", {"stringData": {"a.agekey": "2"}})
        user.client.delete("/api/v1/namespaces/default/secrets/keys")
        assert worker.idle(ref)


def test_a_suspended_sources_artifact_is_published_again(registering: Start, user: User, state: State) -> None:
    """No run of it would do so, and its consumers go on using it."""
    ref = user.create("GitRepository", "repo", suspend=True)
    uid = (user.get(ref) or {})["metadata"]["uid"]
    digest = "sha256:" + "ab" * 32
    artifact = {
        "path": f"gitrepository/{user.namespace}/repo/1234.tar.gz",
        "url": "http://x",
        "revision": "main@sha1:1234",
        "digest": digest,
        "lastUpdateTime": "2026-01-01T00:00:00Z",
        "metadata": {"fleetbeat.io/fence": "77"},
    }
    user.client.patch(f"{user.path('GitRepository', 'repo')}/status", {"status": {"artifact": artifact}})
    with registering():
        published = json.loads(until(lambda: state.artifact(ref)))
    key = f"gitrepository/{user.namespace}/repo/{uid}/{'ab' * 32}/1234.tar.gz"
    assert published == artifact | {"fence": 77, "uid": uid, "key": key}
