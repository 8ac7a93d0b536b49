"""The ledger on a real API server: what survives, and who is refused."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.errors import LedgerUnreadable, LostLease
from fleetbeat.kube import ledger as module
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.ledger import NAMESPACE, Applied, Ledger, LedgerEntry, delete, load
from tests.support.wait import until
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

HUB = "hub-under-test"
ENTRIES = {
    ObjectId("apps", "Deployment", "web", "app"): LedgerEntry("v1", "digest", "fingerprint", "uid"),
    ObjectId("", "Namespace", "", "web"): LedgerEntry("v1"),
}
APPLIED = Applied("GitRepository/a/b@uid", "main@sha1:0", "sha256:0", 41)


@pytest.fixture
def ref() -> Ref:
    return Ref("Kustomization", "flux-system", uuid.uuid4().hex)


def path(ledger: Ledger) -> str:
    return f"/api/v1/namespaces/{ledger.namespace}/configmaps/{ledger.name}"


def test_absent_saved_loaded_deleted(client: KubeClient, ref: Ref) -> None:
    """A ledger that was never saved does not exist; a saved one comes back whole; a deleted one is absent again."""
    ledger = load(client, ref, HUB)
    assert not ledger.exists
    ledger = ledger.save_superset(client, ENTRIES, 7)
    saved = ledger.save_exact(client, ENTRIES, APPLIED, 7)
    assert load(client, ref, HUB) == saved
    assert (saved.applied, saved.fence, dict(saved.entries)) == (APPLIED, 7, ENTRIES)
    assert client.get(path(saved))["metadata"]["labels"]["fleetbeat.io/ledger"] == HUB
    delete(client, saved)
    assert not load(client, ref, HUB).exists


def test_the_namespace_is_made_when_missing(client: KubeClient, ref: Ref, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first save on a fresh cluster makes the namespace."""
    fresh = f"ledgers-{uuid.uuid4().hex[:8]}"
    saved = replace(Ledger(ref, HUB), namespace=fresh).save_superset(client, ENTRIES, 1)
    monkeypatch.setattr(module, "NAMESPACE", fresh)
    assert client.get(path(saved))["metadata"]["namespace"] == fresh
    client.delete(f"/api/v1/namespaces/{fresh}")


def test_a_superset_forgets_nothing(client: KubeClient, ref: Ref) -> None:
    """What is known stays as it is known; what is new is added."""
    ledger = load(client, ref, HUB).save_exact(client, ENTRIES, APPLIED, 1)
    new = ObjectId("", "ConfigMap", "web", "new")
    intended = {new: LedgerEntry("v1"), next(iter(ENTRIES)): LedgerEntry("v1")}
    saved = ledger.save_superset(client, intended, 2)
    assert saved.entries == {**ENTRIES, new: LedgerEntry("v1")}
    assert saved.applied == APPLIED


@pytest.mark.parametrize("exists", [False, True])
def test_two_runs_cannot_both_save(client: KubeClient, ref: Ref, exists: bool) -> None:
    """The second save on the same version is refused, at the first creation too."""
    first = load(client, ref, HUB)
    if exists:
        first = first.save_superset(client, ENTRIES, 1)
    second = load(client, ref, HUB)
    first.save_superset(client, {}, 2)
    with pytest.raises(LostLease):
        second.save_superset(client, ENTRIES, 3)
    with pytest.raises(LostLease):
        second.save_exact(client, ENTRIES, APPLIED, 3)


def test_an_older_run_is_refused(client: KubeClient, ref: Ref) -> None:
    """A run with a lower fence than the last saver's does not save, even on the newest version."""
    load(client, ref, HUB).save_superset(client, ENTRIES, 9)
    with pytest.raises(LostLease):
        load(client, ref, HUB).save_exact(client, {}, None, 8)


def test_a_deleted_ledger_is_not_made_again_by_the_run_that_had_loaded_it(client: KubeClient, ref: Ref) -> None:
    """A ledger that vanishes under a run is an alarm, not a fresh start."""
    ledger = load(client, ref, HUB).save_superset(client, ENTRIES, 1)
    delete(client, ledger)
    with pytest.raises(LedgerUnreadable, match="deleted meanwhile"):
        ledger.save_exact(client, ENTRIES, APPLIED, 1)


def test_delete_is_refused_after_another_save(client: KubeClient, ref: Ref) -> None:
    """Only the ledger as it was loaded is deleted."""
    ledger = load(client, ref, HUB).save_superset(client, ENTRIES, 1)
    ledger.save_superset(client, {}, 2)
    with pytest.raises(LostLease):
        delete(client, ledger)
    assert load(client, ref, HUB).exists


@pytest.mark.parametrize(
    "data", [None, {"ledger.json.gz": "AAAA"}, {"ledger.json.gz": "H4sIAAAAAAAA/6uuBQBDv6ajAgAAAA=="}]
)
def test_a_damaged_ledger_is_not_an_absent_one(client: KubeClient, ref: Ref, data: dict[str, str] | None) -> None:
    """Removed, garbled and empty content raise instead of looking like a first run."""
    ledger = load(client, ref, HUB).save_superset(client, ENTRIES, 1)
    client.patch(path(ledger), [{"op": "remove", "path": "/binaryData"}], "application/json-patch+json")
    if data:
        client.patch(path(ledger), {"binaryData": data})
    with pytest.raises(LedgerUnreadable, match="damaged"):
        load(client, ref, HUB)


def test_another_refs_ledger_is_refused(client: KubeClient, ref: Ref) -> None:
    """A ledger copied under our name is not ours."""
    mine = load(client, ref, HUB)
    other = Ledger(Ref("Kustomization", "flux-system", "other"), HUB).save_superset(client, ENTRIES, 1)
    copy = client.get(path(other))
    copy["metadata"] = {"name": mine.name, "namespace": NAMESPACE}
    client.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", copy)
    delete(client, other)
    with pytest.raises(LedgerUnreadable, match="belongs to Kustomization/flux-system/other"):
        load(client, ref, HUB)


def test_an_account_confined_to_a_namespace_keeps_its_ledger_there(
    cluster: Cluster, client: KubeClient, namespace: str, ref: Ref
) -> None:
    """Without access to fleetbeat-system the ledger lives in the kubeconfig's namespace; without any, it says so."""
    config = ClusterConfig.from_kubeconfig(cluster.user_kubeconfig("confined", []), trusted=False)
    with pytest.raises(LedgerUnreadable, match="grant the account"):
        load(KubeClient(config), ref, HUB)
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    meta = {"name": "confined", "namespace": namespace}
    client.create(
        f"{rbac}/namespaces/{namespace}/rolebindings",
        {
            "metadata": meta,
            "subjects": [{"kind": "User", "name": "confined", "apiGroup": "rbac.authorization.k8s.io"}],
            "roleRef": {"kind": "ClusterRole", "name": "edit", "apiGroup": "rbac.authorization.k8s.io"},
        },
    )
    confined = KubeClient(replace(config, namespace=namespace))
    until(lambda: _may_write(confined, namespace), message="the binding is in force")
    saved = load(confined, ref, HUB).save_superset(confined, ENTRIES, 1)
    assert saved.namespace == namespace
    assert load(confined, ref, HUB) == saved


def _may_write(client: KubeClient, namespace: str) -> bool:
    attributes = {"verb": "create", "resource": "configmaps", "namespace": namespace}
    review = {"spec": {"resourceAttributes": attributes}}
    answer = client.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer["status"]["allowed"])
