"""Several hubs and Flux on one cluster, with resources of one name: nobody deletes what another applies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fleetbeat.api.crds import crd
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.refs import ObjectId
from fleetbeat.errors import LedgerUnreadable
from fleetbeat.kube import ledger, marks
from fleetbeat.kube.apply import prune
from fleetbeat.kube.errors import NoMatch, NotFound
from fleetbeat.kube.ledger import Ledger
from fleetbeat.kube.prune import doomed
from fleetbeat.kube.target import Target
from tests.support.managed import OTHER_HUB, Managed, Object, config_map
from tests.support.wait import until

pytestmark = pytest.mark.cluster


@pytest.fixture
def other(managed: Managed) -> Managed:
    """The same Kustomization of another hub."""
    return OtherHub(managed.target, managed.kubeconfig, managed.namespace, managed.scratch)


class OtherHub(Managed):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.ledger = Ledger(self.owner, OTHER_HUB)

    def options(self, **changes: Any) -> Any:
        return replace(super().options(**changes), hub_id=OTHER_HUB)


def save(managed: Managed) -> None:
    """Keep its ledger on the cluster, as runs do."""
    managed.ledger = managed.ledger.save_exact(managed.client, managed.ledger.entries, None, 1)


def test_two_hubs_with_one_intent_do_not_fight(managed: Managed, other: Managed) -> None:
    """The second hub finds the first one's objects as it wants them, and so does the first afterwards."""
    obj = config_map(managed)
    managed.one(obj)
    before = managed.live(obj)
    assert other.one(obj).action == "unchanged"
    assert managed.one(obj).action == "unchanged"
    assert managed.live(obj) == before


def test_what_another_hub_applies_is_not_pruned(managed: Managed, other: Managed) -> None:
    """Each deletes what it alone applied; what both did is left to the other, and told."""
    mine, both = config_map(managed, "mine"), config_map(managed, "both")
    managed.apply(mine, both)
    other.apply(both)
    save(managed)
    save(other)
    assert doomed(managed.target, managed.ledger.entries, managed.options()).keys() == {ObjectId.of(mine)}
    pruned = prune(managed.target, managed.ledger.entries, managed.options())
    assert [(change.id.name, change.action) for change in pruned.changes] == [("mine", "deleted")]
    assert not pruned.remaining
    (told,) = pruned.spared
    assert told.startswith(f"ConfigMap/{managed.namespace}/both not deleted: it is applied by hub {OTHER_HUB}")
    ledger.delete(managed.client, managed.ledger)
    pruned = prune(managed.target, other.ledger.entries, other.options())
    assert [change.action for change in pruned.changes] == ["deleted"]
    assert not managed.exists(both)


def test_a_hub_that_is_gone_is_forgotten_with_its_ledgers(managed: Managed, other: Managed) -> None:
    """The command in the message frees what a lost hub had applied, and nothing else."""
    obj = config_map(managed)
    managed.apply(obj)
    other.apply(obj)
    save(managed)
    save(other)
    (told,) = prune(managed.target, managed.ledger.entries, managed.options()).spared
    command = told.partition("kubectl ")[2].partition(")")[0]
    managed.kubectl(*command.split())
    assert prune(managed.target, managed.ledger.entries, managed.options()).changes[0].action == "deleted"
    assert ledger.load(managed.client, managed.owner, "hub-under-test").exists


def test_a_ledger_of_another_name_claims_nothing(managed: Managed) -> None:
    """A hub whose resource has another name has other labels on its objects."""
    managed.apply(config_map(managed))
    foreign = Ledger(managed.owner._replace(name="another"), OTHER_HUB)
    foreign.save_exact(managed.client, managed.ledger.entries, None, 1)
    assert prune(managed.target, managed.ledger.entries, managed.options()).changes[0].action == "deleted"


def test_an_unreadable_foreign_ledger_stops_every_deletion(managed: Managed, other: Managed) -> None:
    """What cannot be told for sure stays."""
    managed.apply(config_map(managed))
    other.apply(config_map(managed))
    save(other)
    path = f"/api/v1/namespaces/{other.ledger.namespace}/configmaps/{other.ledger.name}"
    managed.client.patch(path, {"binaryData": {ledger.KEY: "AAAA"}})
    with pytest.raises(LedgerUnreadable, match="is damaged"):
        prune(managed.target, managed.ledger.entries, managed.options())
    assert managed.exists(config_map(managed))
    managed.client.delete(path)


def test_the_clusters_own_flux_keeps_its_inventory(managed: Managed) -> None:
    """A Kustomization of our name on the target itself, its inventory naming the object: it stays."""
    managed.client.apply(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/kustomizations.kustomize.toolkit.fluxcd.io",
        crd(KINDS["Kustomization"]),
        "flux",
    )
    theirs, ours = config_map(managed, "theirs"), config_map(managed, "ours")
    managed.apply(theirs, ours)
    spec = {"interval": "5m", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "flux-system"}}
    path = f"/apis/{marks.GROUP}/v1/namespaces/{managed.namespace}/kustomizations/{managed.owner.name}"
    obj = {"apiVersion": f"{marks.GROUP}/v1", "kind": "Kustomization", "metadata": {"name": managed.owner.name}}
    until(lambda: _applied(managed, path, {**obj, "spec": spec}), message="the kind is served")
    inventory = {"entries": [{"id": ObjectId.of(theirs).inventory_id, "v": "v1"}]}
    managed.client.patch(f"{path}/status", {"status": {"inventory": inventory}})
    until(lambda: _known(managed), message="discovery tells of the kind")
    pruned = prune(managed.target, managed.ledger.entries, managed.options(uid="uid-on-the-hub"))
    assert [change.id.name for change in pruned.changes] == ["ours"]
    assert "theirs not deleted: it is applied by Kustomization" in pruned.spared[0]
    itself = managed.live({**obj, "metadata": {**obj["metadata"], "namespace": managed.namespace}})["metadata"]["uid"]
    pruned = prune(managed.target, managed.ledger.entries, managed.options(uid=itself))
    assert [change.id.name for change in pruned.changes if change.action] == ["theirs"]


def _applied(managed: Managed, path: str, obj: Object) -> bool:
    try:
        managed.client.apply(path, obj, "flux")
    except NotFound:
        return False
    return True


def _known(managed: Managed) -> bool:
    managed.target.discovery.refresh()
    try:
        return bool(managed.target.discovery.resource(marks.GROUP, "", "Kustomization"))
    except NoMatch:
        return False


def test_an_account_that_may_not_list_ledgers_still_prunes_its_own(managed: Managed) -> None:
    """Of what a confined account cannot see it can say nothing; its labels and ledger decide."""
    managed.apply(config_map(managed))
    confined = managed.client.impersonate("system:serviceaccount:default:nobody")
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "delete"]}]
    meta = {"name": "confined", "namespace": managed.namespace}
    api = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": meta, "rules": rules}
    subject = {"kind": "User", "apiGroup": api, "name": confined.user}
    bound = {"apiGroup": api, "kind": "Role", "name": "confined"}
    managed.client.create(f"/apis/{api}/v1/namespaces/{managed.namespace}/roles", role)
    binding = {**role, "kind": "RoleBinding", "rules": None, "subjects": [subject], "roleRef": bound}
    managed.client.create(f"/apis/{api}/v1/namespaces/{managed.namespace}/rolebindings", binding)
    target = Target.of(confined, confined, managed.target.discovery)

    def pruned() -> bool:
        return bool(prune(target, managed.ledger.entries, managed.options()).changes)

    until(pruned, message="the role is in force")
    assert not managed.exists(config_map(managed))


def test_the_label_of_earlier_versions_goes_at_the_next_write(managed: Managed) -> None:
    """Objects that still carry it are ours, are pruned, and lose it with the next run that writes them."""
    obj = config_map(managed)
    old = {
        **obj,
        "metadata": {**obj["metadata"], "labels": marks.owner_labels(managed.owner) | {marks.HUB: "hub-under-test"}},
    }
    managed.client.apply(managed.path(obj), old, marks.MANAGER)
    assert managed.one(obj).action == "configured"
    assert managed.live(obj)["metadata"]["labels"] == marks.owner_labels(managed.owner)
    managed.client.apply(managed.path(obj), old, marks.MANAGER)
    pruned = prune(managed.target, managed.ledger.entries, managed.options())
    assert pruned.changes[0].action == "deleted"
