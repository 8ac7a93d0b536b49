"""A resource that moves to another cluster: the one that it left is cleaned, and never stands in the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from fleetbeat.api.refs import Ref
from fleetbeat.kube import breaker
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.ledger import load
from tests.support.deployed import Deployed
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

CONDITION = "FormerClusterCleaned"


class Site:
    """One cluster with the test's namespace, and the Secret that names it."""

    def __init__(self, cluster: Cluster, name: str, deployed: Deployed) -> None:
        self.cluster, self.name, self._deployed = cluster, name, deployed
        self.client = KubeClient(ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True))

    @property
    def spec(self) -> dict[str, Any] | None:
        """`spec.kubeConfig`."""
        return {"secretRef": {"name": self.name}} if self.name else None

    def objects(self) -> set[str]:
        """Names of the ConfigMaps that are there."""
        params = {"labelSelector": "kustomize.toolkit.fluxcd.io/name=a"}
        found = self.client.list(f"/api/v1/namespaces/{self._deployed.namespace}/configmaps", params)
        return {item["metadata"]["name"] for item in found["items"]}

    def has_ledger(self) -> bool:
        """Whether this resource's ledger is there."""
        return load(self.client, Ref.parse(self._deployed.ref("a")), self._deployed.ctx.hub_id).exists


@pytest.fixture
def sites(deployed: Deployed, clusters: Callable[[int], list[Cluster]]) -> Iterator[list[Site]]:
    """The hub and two more clusters, each with the namespace."""
    made = [Site(one, name, deployed) for one, name in zip(clusters(3), ("", "east", "west"), strict=True)]
    for site in made[1:]:
        site.cluster.create_namespace(deployed.namespace)
        deployed.secret(site.name, value=yaml.safe_dump(site.cluster.kubeconfig_data))
    yield made
    for site in made:
        site.client.close()
    for site in made[1:]:
        site.cluster.api("DELETE", f"/api/v1/namespaces/{deployed.namespace}")


@pytest.fixture
def hub(sites: list[Site]) -> Site:
    """Where the resource itself is."""
    return sites[0]


@pytest.fixture
def east(sites: list[Site]) -> Site:
    """A remote cluster."""
    return sites[1]


@pytest.fixture
def west(sites: list[Site]) -> Site:
    """Another one."""
    return sites[2]


@pytest.fixture
def quick_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that is back is found at once."""
    monkeypatch.setattr(breaker, "SHORTEST", 0.0)
    monkeypatch.setattr(breaker, "CHEAP", 0.0)


def files(deployed: Deployed, *names: str) -> dict[str, str]:
    return {
        f"a/{name}.yaml": json.dumps(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": deployed.namespace},
                "data": {"key": "1"},
            }
        )
        for name in names
    }


def settle(deployed: Deployed, site: Site, **spec: Any) -> None:
    """Ready there, with two objects."""
    deployed.publish("main@sha1:1", files(deployed, "one", "two"))
    deployed.put("a", **({"kubeConfig": site.spec} if site.spec else {}), **spec)
    deployed.run_due()
    assert deployed.condition("a")["status"] == "True", deployed.condition("a")
    assert site.objects() == {"one", "two"}
    deployed.forget()


def move(deployed: Deployed, site: Site) -> dict[str, Any]:
    """A person edits `spec.kubeConfig`; returns the Ready condition of the run that follows."""
    deployed.edit("a", kubeConfig=site.spec)
    assert "a" in deployed.run_due()
    return deployed.condition("a")


@pytest.mark.parametrize(("origin", "goal"), [(0, 1), (1, 0), (1, 2)])
def test_the_cluster_that_was_left_is_cleaned(deployed: Deployed, sites: list[Site], origin: int, goal: int) -> None:
    """In the run that makes it Ready on the new one, ledger included; and events say so."""
    old, new = sites[origin], sites[goal]
    settle(deployed, old)
    assert move(deployed, new)["status"] == "True"
    assert (old.objects(), new.objects()) == (set(), {"one", "two"})
    assert (old.has_ledger(), new.has_ledger()) == (False, True)
    told = [event["message"] for event in deployed.events() if "former cluster" in event["message"]]
    assert len(told) == 1
    assert f"ConfigMap/{deployed.namespace}/one deleted on the former cluster " in told[0]
    assert deployed.condition("a", CONDITION)["status"] == "Unknown"
    history = deployed.status("a")["history"][0]["metadata"]
    assert history.get("cluster") == (f"Secret/{new.name}" if new.name else None)


def test_it_survives_a_wiped_redis(deployed: Deployed, east: Site, west: Site) -> None:
    """The status on the hub names the cluster; what Redis knew is not needed."""
    settle(deployed, east)
    deployed.edit("a", kubeConfig=west.spec)
    shard = deployed.shard("a")
    deployed.state.command("HDEL", f"fb:{{{shard}}}:memo", deployed.ref("a"))
    deployed.run_due()
    assert (east.objects(), west.objects()) == (set(), {"one", "two"})


def test_a_run_overtaken_by_the_move_is_cleaned_up_after(deployed: Deployed, east: Site, west: Site) -> None:
    """The first run was at work when the reference was corrected: no status ever named that cluster."""
    deployed.publish("main@sha1:1", files(deployed, "one", "two"))
    deployed.put("a", kubeConfig=east.spec)
    shard = deployed.shard("a")
    (run,) = deployed.state.claim(shard).runs
    given = deployed.state.start
    deployed.state.start = lambda *args: _then(given(*args), lambda: deployed.edit("a", kubeConfig=west.spec))  # type: ignore[method-assign]
    deployed.run(run, shard)
    del deployed.state.start
    assert east.objects() == {"one", "two"}
    assert deployed.status("a") == {}
    deployed.expire_leases()
    deployed.run_due()
    assert deployed.condition("a")["status"] == "True"
    assert (east.objects(), west.objects()) == (set(), {"one", "two"})


def _then(value: Any, act: Callable[[], None]) -> Any:
    act()
    return value


def test_an_old_cluster_that_is_away_does_not_block(
    deployed: Deployed, east: Site, west: Site, quick_breaker: None
) -> None:
    """The resource is Ready on the new one; a condition and one event say what is left, until it could be cleaned."""
    settle(deployed, east)
    east.cluster.stop()
    try:
        assert move(deployed, west)["status"] == "True"
        assert west.objects() == {"one", "two"}
        left = deployed.condition("a", CONDITION)
        assert (left["status"], left["reason"]) == ("False", "PruneFailed")
        assert "objects on the former cluster Secret/east cannot be deleted: " in left["message"]
        assert deployed.due_in("a") <= 12
        warned = [event for event in deployed.events() if event.get("type") == "Warning"]
        assert [event["message"] for event in warned] == [left["message"]]
        deployed.again("a")
        assert 12 < deployed.due_in("a") <= 24
        assert len([event for event in deployed.events() if event.get("type") == "Warning"]) == 1
    finally:
        east.cluster.start()
    assert deployed.again("a")["status"] == "True"
    assert (east.objects(), west.objects()) == (set(), {"one", "two"})
    assert deployed.condition("a", CONDITION)["status"] == "Unknown"
    assert deployed.due_in("a") > 60


def test_what_is_left_outlives_redis_too(deployed: Deployed, east: Site, west: Site) -> None:
    """From its first run on the new cluster's ledger knows; here the Secret of the old one comes back later."""
    settle(deployed, east)
    deployed.client.delete(f"/api/v1/namespaces/{deployed.namespace}/secrets/east")
    assert move(deployed, west)["status"] == "True"
    assert "Secret" in deployed.condition("a", CONDITION)["message"]
    deployed.state.command("HDEL", f"fb:{{{deployed.shard('a')}}}:memo", deployed.ref("a"))
    deployed.secret("east", value=yaml.safe_dump(east.cluster.kubeconfig_data))
    deployed.again("a")
    assert (east.objects(), east.has_ledger(), west.objects()) == (set(), False, {"one", "two"})


def test_a_former_cluster_can_be_given_up(deployed: Deployed, east: Site, west: Site) -> None:
    """One that is gone for good: an annotation ends the tries."""
    settle(deployed, east)
    deployed.client.delete(f"/api/v1/namespaces/{deployed.namespace}/secrets/east")
    move(deployed, west)
    deployed.annotate("a", forget_cluster="Secret/east")
    assert deployed.run_due() == {"a": "annotated"}
    assert deployed.condition("a", CONDITION)["status"] == "Unknown"
    assert deployed.condition("a")["status"] == "True"
    assert deployed.due_in("a") > 60


def test_a_second_name_for_the_same_cluster_deletes_nothing(deployed: Deployed, east: Site) -> None:
    """A renamed Secret is no move: the objects stay the very same ones."""
    settle(deployed, east)
    path = f"/api/v1/namespaces/{deployed.namespace}/configmaps/one"
    uid = east.client.get(path)["metadata"]["uid"]
    deployed.secret("orient", value=yaml.safe_dump(east.cluster.kubeconfig_data))
    deployed.edit("a", kubeConfig={"secretRef": {"name": "orient"}})
    deployed.run_due()
    assert deployed.condition("a")["status"] == "True"
    assert east.client.get(path)["metadata"]["uid"] == uid
    assert east.has_ledger()
    assert load(east.client, Ref.parse(deployed.ref("a")), deployed.ctx.hub_id).left == ()


def test_a_new_cluster_that_fails_leaves_the_old_one_alone(deployed: Deployed, east: Site, west: Site) -> None:
    """Nothing is deleted before the new one is Ready."""
    settle(deployed, east)
    deployed.publish("main@sha1:2", {**files(deployed, "one"), "a/bad.yaml": json.dumps({"apiVersion": "v1"} | BAD)})
    assert move(deployed, west)["status"] == "False"
    assert east.objects() == {"one", "two"}
    deployed.publish("main@sha1:3", files(deployed, "one"))
    assert deployed.again("a")["status"] == "True"
    assert (east.objects(), west.objects()) == (set(), {"one"})


BAD = {"kind": "ConfigMap", "metadata": {"name": "bad", "namespace": "there-is-none"}, "data": {"key": "1"}}


def test_a_chain_of_moves_is_cleaned_to_its_beginning(deployed: Deployed, hub: Site, east: Site, west: Site) -> None:
    """The second move came before the first old cluster could be cleaned."""
    settle(deployed, east)
    secret = f"/api/v1/namespaces/{deployed.namespace}/secrets/east"
    deployed.client.delete(secret)
    move(deployed, west)
    assert move(deployed, hub)["status"] == "True"
    assert (west.objects(), hub.objects(), east.objects()) == (set(), {"one", "two"}, {"one", "two"})
    deployed.secret("east", value=yaml.safe_dump(east.cluster.kubeconfig_data))
    deployed.again("a")
    assert (west.objects(), hub.objects(), east.objects()) == (set(), {"one", "two"}, set())


def test_without_pruning_the_old_objects_stay(deployed: Deployed, east: Site, west: Site) -> None:
    """`prune: false` says so for every cluster."""
    settle(deployed, east, prune=False)
    assert move(deployed, west)["status"] == "True"
    assert (east.objects(), west.objects()) == ({"one", "two"}, {"one", "two"})
    assert deployed.condition("a", CONDITION)["status"] == "Unknown"


def test_a_deletion_cleans_former_clusters_too(deployed: Deployed, east: Site, west: Site) -> None:
    """It waits for one that cannot be reached, and says what for; then everything is gone."""
    settle(deployed, east)
    deployed.client.delete(f"/api/v1/namespaces/{deployed.namespace}/secrets/east")
    move(deployed, west)
    deployed.delete("a")
    deployed.run_due()
    assert not deployed.finalized("a")
    assert "former cluster Secret/east" in deployed.condition("a")["message"]
    assert west.objects() == set()
    deployed.secret("east", value=yaml.safe_dump(east.cluster.kubeconfig_data))
    deployed.again("a")
    assert deployed.finalized("a")
    assert (east.objects(), east.has_ledger(), west.has_ledger()) == (set(), False, False)


def test_a_deletion_right_after_a_move_cleans_the_old_cluster(deployed: Deployed, east: Site, west: Site) -> None:
    """No run ever came to the new one."""
    settle(deployed, east)
    deployed.edit("a", kubeConfig=west.spec)
    deployed.delete("a")
    deployed.run_due()
    assert deployed.finalized("a")
    assert (east.objects(), east.has_ledger()) == (set(), False)


def test_a_cluster_with_health_is_left_when_the_new_one_is_healthy(deployed: Deployed, east: Site, west: Site) -> None:
    """With `wait`, the old objects serve until the new ones do."""
    deployed.publish("main@sha1:1", {**files(deployed, "one", "two"), "a/app.yaml": json.dumps(workload(deployed))})
    deployed.put("a", kubeConfig=east.spec, wait=True)
    deployed.run_due()
    east.cluster.api("PATCH", f"{job(deployed)}/status", DONE, "application/merge-patch+json")
    deployed.run_until_ready("a")
    deployed.edit("a", kubeConfig=west.spec)
    deployed.run_due()
    assert deployed.condition("a")["status"] != "True" or deployed.status("a")["observedGeneration"] == 1
    assert east.objects() == {"one", "two"}
    west.cluster.api("PATCH", f"{job(deployed)}/status", DONE, "application/merge-patch+json")
    deployed.run_until_ready("a", generation=2)
    assert (east.objects(), west.objects()) == (set(), {"one", "two"})


DONE = {"status": {"phase": "Bound"}}


def workload(deployed: Deployed) -> dict[str, Any]:
    """A PersistentVolumeClaim: nothing binds it here but the test."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"}
    meta = {"name": "disk", "namespace": deployed.namespace}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def job(deployed: Deployed) -> str:
    """Its API path."""
    return f"/api/v1/namespaces/{deployed.namespace}/persistentvolumeclaims/disk"
