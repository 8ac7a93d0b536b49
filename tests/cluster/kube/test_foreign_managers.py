"""What others than kubectl do to a managed object: what they may keep, what is undone, what is not even a change.

The oracle is the API server's own dry run compared with the live object, written apart from the code under test.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fleetbeat.kube import look
from tests.support.foreign import SAMPLES, Sample, applied, is_quiet, merged, on_command_line, seen_by_its_controller
from tests.support.managed import Managed, Object, content, differs

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("manager", ["other-applier", "dashboard"])
def test_another_manager_keeps_its_own_additions(managed: Managed, sample: Sample, manager: str) -> None:
    """A manager that is not kubectl loses our fields to us and keeps what it added."""
    obj = applied(managed, sample)
    before = content(managed.live(obj))
    tamper = merged(sample.tamper, {"metadata": {"labels": {"foreign": "kept"}}})
    if manager == "dashboard":
        managed.update_as(manager, obj, tamper)
    else:
        wanted = {**{key: obj[key] for key in ("apiVersion", "kind")}, **tamper}
        wanted["metadata"] = {**wanted["metadata"], "name": "sample", "namespace": managed.namespace}
        managed.client.apply(managed.path(obj), wanted, manager)
    change = managed.one(obj)
    assert change.action == "configured"
    assert f"{sample.changed} changed by {manager}" in change.drift
    after = content(managed.live(obj))
    assert after["metadata"]["labels"].pop("foreign") == "kept"
    assert _without_additions(after) == _without_additions(before)
    is_quiet(managed, obj)


def test_an_overridden_manager_leaves_nothing_behind(managed: Managed, sample: Sample) -> None:
    """A manager that the installation overrides is undone like kubectl, its additions included."""
    obj = applied(managed, sample)
    before = content(managed.live(obj))
    managed.update_as("dashboard-7", obj, merged(sample.tamper, {"metadata": {"labels": {"foreign": "gone"}}}))
    change = managed.one(obj, overridden=("dashboard",))
    assert "metadata.labels.foreign added by dashboard-7" in change.drift
    assert content(managed.live(obj)) == before
    managed.one(obj, overridden=("dashboard",))
    assert managed.writes() == 0


def test_the_escape_hatch_keeps_what_a_person_applied(managed: Managed) -> None:
    """Fields under the manager `flux-client-side-apply` are never taken over, even where its name is overridden."""
    obj = applied(managed, SAMPLES["ConfigMap"])
    mine = {**obj, "data": {"mine": "kept"}}
    flags = ("--server-side", "--field-manager=flux-client-side-apply")
    managed.kubectl("apply", *flags, "-f", "-", stdin=mine)
    changed = {**obj, "data": {**obj["data"], "color": "blue"}}
    for desired in (obj, changed):
        managed.one(desired, overridden=("flux",), full=True)
        assert managed.live(obj)["data"] == {**desired["data"], "mine": "kept"}


def _without_additions(obj: Object) -> Object:
    cleaned = merged(obj, {})
    for part in ("data", "spec"):
        if part in cleaned:
            cleaned[part] = {k: v for k, v in cleaned[part].items() if k not in ("extra", "paused", "options")}
    return cleaned


def test_scale_of_an_unstated_count_is_left_alone(managed: Managed) -> None:
    """Replicas that we do not state belong to whoever scales, an autoscaler or kubectl."""
    obj = SAMPLES["Deployment"].make(managed.namespace)
    del obj["spec"]["replicas"]
    managed.one(obj)
    seen_by_its_controller(managed, obj)
    managed.kubectl("scale", on_command_line(obj), "--replicas=3")
    assert managed.one(obj).action == "unchanged"
    assert managed.live(obj)["spec"]["replicas"] == 3
    managed.one(obj)
    assert managed.writes() == 0


@pytest.mark.parametrize("kind", ["Deployment", "Gadget"])
def test_status_moves_no_fingerprint(managed: Managed, kind: str) -> None:
    """What controllers write to the status subresource costs us nothing, not even a look."""
    obj = applied(managed, SAMPLES[kind])
    before = managed.metadata(obj)
    managed.client.patch(f"{managed.path(obj)}/status", {"status": {"replicas": 2}}, params={"fieldManager": "kcm"})
    after = managed.metadata(obj)
    assert after.rv != before.rv
    assert after.fingerprint == before.fingerprint


def test_innocent_touch_is_recorded_not_repaired(managed: Managed, sample: Sample) -> None:
    """A controller's annotation and a second owner of the same value are looked at once, and written to never."""
    obj = applied(managed, sample)
    managed.update_as("some-controller", obj, {"metadata": {"annotations": {"seen": "yes"}}})
    managed.client.apply(managed.path(obj), obj if obj["kind"] != "Secret" else managed_secret(obj), "second-owner")
    touched = managed.metadata(obj).fingerprint
    assert touched != managed.entry(obj).fingerprint
    change = managed.one(obj)
    assert (change.action, change.drift) == ("unchanged", ())
    assert managed.client.stats["PATCH", managed.resource(obj).plural] >= 1  # dry runs
    assert managed.metadata(obj).fingerprint == touched == managed.entry(obj).fingerprint
    assert managed.one(obj).action == "unchanged"
    assert managed.writes() == 0


def test_status_that_never_rests_costs_no_second_look(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """An innocent touch is recorded even when the status moves between any two reads of the look."""
    obj = applied(managed, SAMPLES["Gadget"])
    managed.update_as("some-controller", obj, {"metadata": {"annotations": {"seen": "yes"}}})
    counts = itertools.count()

    def restless(read: Callable[..., Any]) -> Callable[..., Any]:
        def after_status(*args: Any) -> Any:
            managed.client.patch(f"{managed.path(obj)}/status", {"status": {"replicas": next(counts)}})
            return read(*args)

        return after_status

    monkeypatch.setattr(look, "_dry_run", restless(look._dry_run))
    monkeypatch.setattr(look, "get_metadata", restless(look.get_metadata))
    assert managed.one(obj).action == "unchanged"
    assert next(counts) == 2
    assert managed.entry(obj).fingerprint == managed.metadata(obj).fingerprint


def managed_secret(obj: Object) -> Object:
    """The Secret as it is applied: with `data` only."""
    return {**{k: v for k, v in obj.items() if k != "stringData"}, "data": {"color": "cmVk", "size": "MQ=="}}


def test_edit_under_our_own_name_is_seen(managed: Managed, sample: Sample) -> None:
    """Somebody who applies or updates as `kustomize-controller` is found out too."""
    obj = applied(managed, sample)
    before = content(managed.live(obj))
    managed.update_as("kustomize-controller", obj, sample.tamper)
    assert managed.metadata(obj).fingerprint != managed.entry(obj).fingerprint
    assert managed.one(obj).action == "configured"
    assert content(managed.live(obj)) == before
    is_quiet(managed, obj)


@pytest.mark.parametrize("seed", range(3))
def test_no_drift_escapes_the_fingerprint(managed: Managed, seed: int) -> None:
    """In a random series of edits by many hands, whenever the oracle would write, the fingerprint has changed."""
    dice = random.Random(seed)
    objects = {kind: sample.make(managed.namespace) for kind, sample in SAMPLES.items()}
    managed.apply(*objects.values())
    for _ in range(40):
        kind = dice.choice(list(objects))
        obj = objects[kind]
        _random_edit(managed, obj, SAMPLES[kind].tamper, dice)
        drifted = differs(managed.live(obj), managed.dry_run(obj))
        moved = managed.metadata(obj).fingerprint != managed.entry(obj).fingerprint
        assert moved or not drifted
        if dice.random() < 0.5:
            changes = {change.id.kind: change for change in managed.apply(*objects.values()).changes}
            assert not drifted or changes[kind].action == "configured"
            assert not differs(managed.live(obj), managed.dry_run(obj))


def _random_edit(managed: Managed, obj: Object, tamper: Mapping[str, Any], dice: random.Random) -> None:
    patches: list[Mapping[str, Any]] = [
        tamper,
        {"metadata": {"labels": {"app": dice.choice(["ours", "theirs", None])}}},
        {"metadata": {"annotations": {"note": dice.choice(["1", "2", None])}}},
        {"metadata": {"managedFields": [{}]}},
        {"metadata": {"labels": {"app": "ours"}}},
    ]
    patch = dice.choice(patches)
    manager = dice.choice(["kubectl-edit", "kubectl", "dashboard", "kustomize-controller", "operator"])
    managed.update_as(manager, obj, patch)
