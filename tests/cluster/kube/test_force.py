"""Objects that can only be made anew: when force deletes them, and when it must not."""

from __future__ import annotations

import pytest

from fleetbeat.kube.apply import ApplyFailed, apply_set
from tests.support.managed import GROUP, OTHER_HUB, Managed, Object, crd, marked
from tests.support.wait import until

pytestmark = pytest.mark.cluster


def job(managed: Managed, image: str = "example.test/a:1") -> Object:
    pod = {"containers": [{"name": "main", "image": image}], "restartPolicy": "Never"}
    spec = {"suspend": True, "template": {"spec": pod}}
    metadata = {"name": "sample", "namespace": managed.namespace}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def test_immutable_change_is_refused_without_force(managed: Managed) -> None:
    """The old object stays, and the message names object and field."""
    managed.one(job(managed))
    uid = managed.live(job(managed))["metadata"]["uid"]
    with pytest.raises(ApplyFailed, match=r"Job/.*/sample dry-run failed \(Invalid\): .*field is immutable"):
        managed.one(job(managed, "example.test/a:2"))
    assert managed.live(job(managed))["metadata"]["uid"] == uid


@pytest.mark.parametrize("how", ["spec", "desired", "live"])
def test_force_recreates(managed: Managed, how: str) -> None:
    """With spec.force or the annotation on either side, an immutable object is made anew."""
    managed.one(job(managed))
    uid = managed.live(job(managed))["metadata"]["uid"]
    wanted = job(managed, "example.test/a:2")
    if how == "live":
        managed.update_as("dashboard", wanted, {"metadata": {"annotations": {f"{GROUP}/force": "enabled"}}})
    change = managed.one(marked(wanted, force="Enabled") if how == "desired" else wanted, force=how == "spec")
    assert change.action == "created"
    live = managed.live(wanted)
    assert live["metadata"]["uid"] != uid
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "example.test/a:2"


def test_force_deletes_nothing_that_could_not_be_created_again(managed: Managed) -> None:
    """An object that is invalid in itself does not cost the good one its life."""
    managed.one(job(managed))
    uid = managed.live(job(managed))["metadata"]["uid"]
    with pytest.raises(ApplyFailed, match="Invalid"):
        managed.one(job(managed, ""), force=True)
    assert managed.live(job(managed))["metadata"]["uid"] == uid


def test_force_does_not_take_what_belongs_to_another(managed: Managed) -> None:
    """An object of another Kustomization or hub is not recreated."""
    managed.one(job(managed))
    managed.ledger.save_exact(managed.client, managed.ledger.entries, None, 1)
    uid = managed.live(job(managed))["metadata"]["uid"]
    with pytest.raises(ApplyFailed, match="not recreated because it belongs to hub hub-under-test"):
        apply_set(
            managed.target,
            [job(managed, "example.test/a:2")],
            managed.ledger,
            managed.options(force=True, hub_id=OTHER_HUB),
        )
    assert managed.live(job(managed))["metadata"]["uid"] == uid


def test_force_spares_definitions(managed: Managed) -> None:
    """spec.force never deletes a CRD, which would take all of its objects along."""
    group = f"{managed.namespace}.kube.test"
    managed.apply(crd(group))
    uid = managed.live(crd(group))["metadata"]["uid"]
    changed = crd(group)
    changed["spec"] = {**changed["spec"], "scope": "Cluster"}
    with pytest.raises(ApplyFailed, match="scope"):
        managed.apply(changed, force=True)
    assert managed.live(crd(group))["metadata"]["uid"] == uid
    managed.client.delete(managed.path(changed))


def test_recreation_waits_for_finalizers_within_bounds(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object held by a finalizer fails the run, and a later run goes on where it stopped."""
    monkeypatch.setattr("fleetbeat.kube.write.TERMINATION_PATIENCE", 0.2)
    managed.one(job(managed))
    wanted = job(managed, "example.test/a:2")
    managed.update_as("dashboard", wanted, {"metadata": {"finalizers": ["kube.test/hold"]}})
    for _ in range(2):
        with pytest.raises(ApplyFailed, match="still terminating"):
            managed.one(wanted, force=True)
    managed.update_as("dashboard", wanted, {"metadata": {"finalizers": None}})
    until(lambda: not managed.client.list(managed.path(wanted).rsplit("/", 1)[0])["items"], message="the job is gone")
    assert managed.one(wanted, force=True).action == "created"
