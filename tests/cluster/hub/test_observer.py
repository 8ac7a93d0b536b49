"""What happens to managed objects wakes their owners, on the hub and on other clusters."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from time import monotonic
from typing import Any

import pytest
import yaml

from fleetbeat.api.refs import HUB, ObjectId, Ref
from fleetbeat.hub import observer, sightings
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.discovery import Resource
from fleetbeat.kube.marks import NAME as NAME_LABEL
from fleetbeat.kube.marks import NAMESPACE as NAMESPACE_LABEL
from fleetbeat.kube.metadata import get_metadata
from fleetbeat.kube.reach import Reach
from fleetbeat.state import State
from tests.support.background import running
from tests.support.describedhub import describe_hub
from tests.support.hostile import reply, scripted_server
from tests.support.hub import Start, User, Worker
from tests.support.wait import until
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", True)


@dataclass
class Owned:
    """ConfigMaps of one Kustomization on one cluster."""

    client: KubeClient
    namespace: str
    labels: dict[str, str]

    def path(self, name: str) -> str:
        """API path of one."""
        return CONFIG_MAPS.path(self.namespace, name)

    def apply(self, name: str, **data: str) -> None:
        """As our apply does."""
        meta = {"name": name, "labels": self.labels}
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        self.client.apply(self.path(name), obj, "kustomize-controller")

    def edit(self, name: str, **fields: Any) -> None:
        """As a user does."""
        self.client.patch(self.path(name), fields, params={"fieldManager": "kubectl-edit"})

    def memo(self, *names: str, **rest: Any) -> dict[str, Any]:
        """What a run that has just applied these leaves behind."""
        fingerprints = {}
        for name in names:
            live = get_metadata(self.client, CONFIG_MAPS, self.namespace, name)
            assert live is not None
            fingerprints[f"{self.id(name)}@v1"] = live.fingerprint
        return {"fp": fingerprints, **rest}

    def id(self, name: str) -> str:
        """Inventory id."""
        return ObjectId("", "ConfigMap", self.namespace, name).inventory_id


MakeOwned = Callable[..., Owned]


@pytest.fixture
def owned_by(client: KubeClient, namespace: str) -> MakeOwned:
    """`owned_by(ref)`: its objects on the hub, or with `on=` elsewhere."""

    def make(ref: str, on: KubeClient | None = None) -> Owned:
        owner = Ref.parse(ref)
        labels = {NAME_LABEL: owner.name, NAMESPACE_LABEL: owner.namespace}
        return Owned(on or client, namespace, labels)

    return make


@pytest.fixture
def observing(config: ClusterConfig, registering: Start, state: State) -> Iterator[None]:
    """A registrar and an observer at work."""
    with registering(), running(observer.run(config, state)):
        yield


def watched(state: State, cluster: str = HUB) -> bool:
    """Whether all that runs left on the cluster is watched."""
    return cluster in state.observed()


def test_drift_wakes_the_owner(observing: None, user: User, worker: Worker, owned_by: MakeOwned, state: State) -> None:
    """Edited, relabelled or deleted by a foreign hand, in that order; our own writes wake nobody."""
    ref = user.create("Kustomization", "apps")
    objects = owned_by(ref)
    shard, run, _ = worker.claim(ref)
    objects.apply("one", a="1", b="1")
    state.finish(
        shard, ref, run.fence, status=b'{"observedGeneration":1}', memo=json.dumps(objects.memo("one")).encode()
    )
    until(lambda: watched(state))
    assert worker.idle(ref)
    name = f"ConfigMap/{user.namespace}/one"
    edits: list[tuple[Callable[[], None], str]] = [
        (lambda: objects.edit("one", data={"c": "2"}), "changed"),
        (lambda: objects.edit("one", metadata={"labels": {NAME_LABEL: "another"}}), "changed"),
        (lambda: objects.edit("one", metadata={"labels": {NAME_LABEL: None}}), "is gone"),
        (lambda: objects.client.delete(objects.path("one")), "is gone"),
    ]
    for edit, what in edits:
        edit()
        assert worker.run(ref) == f"drift: {name} {what}"
        objects.apply("one", a="1", b="1")
        until(lambda: settled(worker, user, ref, objects))


def settled(worker: Worker, user: User, ref: str, objects: Owned) -> bool:
    """One more run, which remembers what is there now; whether nothing asks for another one after it."""
    user.request(ref)
    worker.run(ref, memo=objects.memo("one"))
    return worker.idle(ref)


def test_objects_changed_while_nobody_watched_are_found(
    registering: Start, config: ClusterConfig, user: User, worker: Worker, owned_by: MakeOwned, state: State
) -> None:
    """At its start the observer compares everything: what differs and what is missing."""
    with registering():
        edited, missing, fine = (user.create("Kustomization", name) for name in ("edited", "missing", "fine"))
        for ref in (edited, missing, fine):
            objects = owned_by(ref)
            objects.apply(Ref.parse(ref).name, a="1")
            worker.run(ref, memo=objects.memo(Ref.parse(ref).name))
        owned_by(edited).edit("edited", data={"a": "2"})
        owned_by(missing).client.delete(owned_by(missing).path("missing"))
        with running(observer.run(config, state)):
            assert worker.run(edited) == f"drift: ConfigMap/{user.namespace}/edited changed"
            assert worker.run(missing) == f"drift: ConfigMap/{user.namespace}/missing is gone"
            until(lambda: watched(state))
            assert worker.idle(fine)


def test_only_objects_of_the_memo_count(
    observing: None, user: User, worker: Worker, owned_by: MakeOwned, state: State
) -> None:
    """Labels alone wake nobody, and neither does an object that differs at every look."""
    ref, probe = user.create("Kustomization", "apps"), user.create("Kustomization", "probe")
    objects, probes = owned_by(ref), owned_by(probe)
    objects.apply("noisy", a="1")
    probes.apply("probe", a="1")
    worker.run(ref, memo=objects.memo("noisy", noisy=[objects.id("noisy")]))
    worker.run(probe, memo=probes.memo("probe"))
    until(lambda: watched(state))
    objects.apply("forged", a="1")
    objects.edit("forged", data={"a": "2"})
    objects.edit("noisy", data={"a": "2"})
    probes.edit("probe", data={"a": "2"})
    assert worker.run(probe).startswith("drift: ")
    assert worker.idle(ref)


def test_a_fight_with_another_tool_becomes_slower(
    observing: None,
    user: User,
    worker: Worker,
    owned_by: MakeOwned,
    state: State,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever changes an object back whenever it is corrected wakes its owner at once at first, then after pauses."""
    monkeypatch.setattr(sightings, "FREE", 2)
    ref = user.create("Kustomization", "apps")
    objects = owned_by(ref)
    objects.apply("one", a="1")
    worker.run(ref, memo=objects.memo("one"))
    until(lambda: watched(state))
    waits = []
    for number in range(4):
        objects.edit("one", data={"a": f"theirs-{number}"})
        begun = monotonic()
        shard, run, given = worker.claim(ref)
        waits.append(monotonic() - begun)
        assert given.why.startswith("drift: ")
        objects.apply("one", a="1")
        state.finish(shard, ref, run.fence, memo=json.dumps(objects.memo("one")).encode())
    assert waits[2] >= 2.0
    assert waits[3] >= 4.0


def test_an_owner_at_work_is_left_alone_until_it_ends(
    observing: None, user: User, worker: Worker, owned_by: MakeOwned, state: State
) -> None:
    """Its own writes are no drift; a foreign one that it has not seen is."""
    ref = user.create("Kustomization", "apps")
    objects = owned_by(ref)
    objects.apply("one", a="1")
    worker.run(ref, memo=objects.memo("one"))
    until(lambda: watched(state))
    user.patch(ref, spec={"interval": "2h"})
    shard, run, _ = worker.claim(ref)
    objects.apply("one", a="2")
    memo = objects.memo("one")
    objects.edit("one", data={"b": "3"})
    state.finish(shard, ref, run.fence, memo=json.dumps(memo).encode())
    assert worker.run(ref) == f"drift: ConfigMap/{user.namespace}/one changed"


def test_news_of_awaited_objects_wake_the_owner(
    observing: None, user: User, worker: Worker, owned_by: MakeOwned, client: KubeClient, state: State
) -> None:
    """A status does not change the fingerprint, but it is what a health check waits for."""
    ref = user.create("Kustomization", "apps")
    objects = owned_by(ref)
    quota = Resource("", "v1", "ResourceQuota", "resourcequotas", True)
    path = quota.path(user.namespace, "limits")
    spec = {"hard": {"pods": "5"}}
    meta = {"name": "limits", "labels": objects.labels}
    client.apply(
        path, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec}, "kustomize-controller"
    )
    until(lambda: client.get(path).get("status", {}).get("used"))
    live = get_metadata(client, quota, user.namespace, "limits")
    assert live is not None
    key = ObjectId("", "ResourceQuota", user.namespace, "limits").inventory_id
    worker.run(ref, memo={"fp": {f"{key}@v1": live.fingerprint}, "health": {"waiting": {key: "v1"}, "since": 1}})
    why = f"health: ResourceQuota/{user.namespace}/limits changed"
    assert worker.run(ref) == why  # the first look at an awaited object is news as well
    # The quota's controller may have more news before it is quiet.
    until(lambda: watched(state) and (worker.idle(ref) or not worker.run(ref)))
    client.patch(f"{path}/status", {"status": {"hard": {"pods": "6"}}})
    assert worker.run(ref) == why


def test_a_cluster_that_answers_nonsense_is_nobody_elses_trouble(
    observing: None, user: User, worker: Worker, owned_by: MakeOwned, state: State
) -> None:
    """Whoever may name a cluster must not be able to end the watches on the others."""

    def nonsense(handler: BaseHTTPRequestHandler) -> None:
        reply(handler, b"[]", kind="application/json")

    with scripted_server(nonsense) as (url, seen):
        config = {
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": url}}],
            "users": [{"name": "x", "user": {"token": "x"}}],
        }
        data = {"value": base64.b64encode(yaml.safe_dump(config).encode()).decode()}
        secrets = f"/api/v1/namespaces/{user.namespace}/secrets"
        user.client.create(secrets, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "evil"}, "data": data})
        evil = user.create("Kustomization", "evil", kubeConfig={"secretRef": {"name": "evil"}})
        near = user.create("Kustomization", "near")
        objects = owned_by(near)
        worker.run(evil, memo={"fp": {f"{objects.id('x')}@v1": "f"}})
        until(lambda: seen)
        objects.apply("two", a="1")
        worker.run(near, memo=objects.memo("two"))
        until(lambda: watched(state))
        objects.edit("two", data={"a": "2"})
        assert worker.run(near) == f"drift: ConfigMap/{user.namespace}/two changed"


def described(user: User, worker: Worker, owned_by: MakeOwned, cluster: Cluster) -> tuple[str, Owned, str]:
    """A Kustomization with an object on a cluster that a ConfigMap describes: its ref, the object, the cluster."""
    data = describe_hub(user.client, user.namespace, cluster)
    edge = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "edge"}, "data": data}
    user.client.create(f"/api/v1/namespaces/{user.namespace}/configmaps", edge)
    ref = user.create("Kustomization", "apps", kubeConfig={"configMapRef": {"name": "edge"}})
    objects = owned_by(ref)
    objects.apply("one", a="1")
    worker.run(ref, memo=objects.memo("one"))
    return ref, objects, Reach.by_config_map(user.namespace, "edge").cluster


def test_clusters_that_a_config_map_describes_are_watched_too(
    observing: None, user: User, worker: Worker, owned_by: MakeOwned, state: State, cluster: Cluster
) -> None:
    """By tokens that are asked for."""
    ref, objects, name = described(user, worker, owned_by, cluster)
    until(lambda: watched(state, name))
    objects.edit("one", data={"a": "2"})
    assert worker.run(ref) == f"drift: ConfigMap/{user.namespace}/one changed"


def reader(user: User, cluster: Cluster) -> ClusterConfig:
    """Somebody who may read all there is, and nothing more."""
    kind, name = "rbac.authorization.k8s.io", f"{user.namespace}-reader"
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}
    role = {"apiVersion": f"{kind}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]}
    subjects = [{"apiGroup": kind, "kind": "User", "name": name}]
    ref = {"apiGroup": kind, "kind": "ClusterRole", "name": name}
    binding = {**role, "kind": "ClusterRoleBinding", "roleRef": ref, "subjects": subjects}
    user.client.create(f"/apis/{kind}/v1/clusterroles", role)
    user.client.create(f"/apis/{kind}/v1/clusterrolebindings", binding)
    return ClusterConfig.from_kubeconfig(cluster.user_kubeconfig(name), trusted=True)


def test_an_observer_that_may_ask_for_no_tokens_watches_the_rest(
    registering: Start, user: User, worker: Worker, owned_by: MakeOwned, state: State, cluster: Cluster
) -> None:
    """Such clusters are swept then."""
    with registering(), running(observer.run(reader(user, cluster), state)):
        _, objects, name = described(user, worker, owned_by, cluster)
        near = user.create("Kustomization", "near")
        objects = owned_by(near)
        objects.apply("two", a="1")
        worker.run(near, memo=objects.memo("two"))
        until(lambda: watched(state))
        assert not watched(state, name)


def test_other_clusters_are_watched_through_their_kubeconfig(
    observing: None,
    user: User,
    worker: Worker,
    owned_by: MakeOwned,
    state: State,
    clusters: Callable[[int], list[Cluster]],
) -> None:
    """Read from the Secret on the hub; the loss of one cluster costs the others nothing; its return is noticed."""
    remote = clusters(2)[1]
    remote.create_namespace(user.namespace)
    away = KubeClient(ClusterConfig.from_kubeconfig(remote.kubeconfig, trusted=True))
    data = {"value": base64.b64encode(yaml.safe_dump(remote.kubeconfig_data).encode()).decode()}
    secrets = f"/api/v1/namespaces/{user.namespace}/secrets"
    user.client.create(secrets, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "remote"}, "data": data})
    ref = user.create("Kustomization", "apps", kubeConfig={"secretRef": {"name": "remote"}})
    lost = user.create("Kustomization", "lost", kubeConfig={"secretRef": {"name": "nowhere"}})
    objects = owned_by(ref, away)
    objects.apply("one", a="1")
    worker.run(ref, memo=objects.memo("one"))
    worker.run(lost, memo={"fp": {f"{objects.id('x')}@v1": "f"}})
    cluster = Reach.of(user.namespace, "remote", "").cluster
    until(lambda: watched(state, cluster))
    assert not watched(state, Reach.of(user.namespace, "nowhere", "").cluster)
    objects.edit("one", data={"a": "2"})
    assert worker.run(ref) == f"drift: ConfigMap/{user.namespace}/one changed"
    objects.apply("one", a="1")
    user.patch(ref, spec={"interval": "2h"})
    worker.run(ref, memo=objects.memo("one"))
    remote.kill()
    remote.start()
    objects.edit("one", data={"a": "3"})
    assert worker.run(ref, timeout=60).startswith("drift: ")
    away.close()
