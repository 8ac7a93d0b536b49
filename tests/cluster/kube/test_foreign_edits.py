"""Every way in which somebody else's hand reaches into a managed object, on five kinds, judged by an oracle.

The oracle is the API server's own dry run compared with the live object, written apart from the code under test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.managed import Managed, Object, content, differs
from tests.support.wait import until

pytestmark = pytest.mark.cluster


@dataclass(frozen=True)
class Sample:
    """An object and a merge patch that changes one of its fields and adds another."""

    make: Callable[[str], Object]
    tamper: Mapping[str, Any]
    changed: str
    """The changed field, as drift names it."""


def _object(api_version: str, kind: str, **body: Any) -> Callable[[str], Object]:
    return lambda namespace: {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "sample", "namespace": namespace, "labels": {"app": "ours"}},
        **body,
    }


RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
TEMPLATE = {
    "metadata": {"labels": {"run": "sample"}},
    "spec": {"containers": [{"name": "main", "image": "example.test/main:1", "ports": [{"containerPort": 80}]}]},
}
SAMPLES = {
    "ConfigMap": Sample(
        _object("v1", "ConfigMap", data={"color": "red", "size": "1"}),
        {"data": {"color": "blue", "extra": "foreign"}},
        "data.color",
    ),
    "Secret": Sample(
        _object("v1", "Secret", stringData={"color": "red"}, data={"size": "MQ=="}),
        {"data": {"color": "Ymx1ZQ==", "extra": "Zm9yZWlnbg=="}},
        "data.color",
    ),
    "Role": Sample(
        _object("rbac.authorization.k8s.io/v1", "Role", rules=[RULE]),
        {"rules": [RULE, {**RULE, "resources": ["secrets"]}]},
        "rules",
    ),
    "Deployment": Sample(
        _object(
            "apps/v1",
            "Deployment",
            spec={"replicas": 0, "selector": {"matchLabels": {"run": "sample"}}, "template": TEMPLATE},
        ),
        {"spec": {"replicas": 1, "paused": True}},
        "spec.replicas",
    ),
    "Gadget": Sample(
        _object(
            "kube.test/v1",
            "Gadget",
            spec={"replicas": 0, "color": "red", "list": ["a", "b"], "ports": [{"port": 9}, {"port": 80}]},
        ),
        {"spec": {"color": "blue", "options": {"extra": "foreign"}}},
        "spec.color",
    ),
}


def _applied(managed: Managed, sample: Sample) -> Object:
    """The sample's object, applied and seen by its controller, which would race kubectl's own read and write."""
    obj = sample.make(managed.namespace)
    managed.one(obj)
    if obj["kind"] == "Deployment":
        until(lambda: "deployment.kubernetes.io/revision" in (managed.live(obj)["metadata"].get("annotations") or {}))
    return obj


Edit = Callable[[Managed, Object, Mapping[str, Any]], None]


def _name(obj: Object) -> str:
    return f"{obj['kind'].lower()}/sample"


def _replace(managed: Managed, obj: Object, tamper: Mapping[str, Any], *flags: str) -> None:
    live = managed.live(obj)
    for key in ("managedFields", "resourceVersion"):  # without a version, kubectl takes the one it finds
        live["metadata"].pop(key)
    managed.kubectl("replace", *flags, "-f", "-", stdin=_merged(live, tamper))


def _merged(obj: Mapping[str, Any], patch: Mapping[str, Any]) -> Object:
    merged = dict(obj)
    for key, value in patch.items():
        merged[key] = _merged(merged.get(key) or {}, value) if isinstance(value, dict) else value
    return merged


def _strip(managed: Managed, obj: Object, patch: Mapping[str, Any]) -> None:
    managed.client.patch(managed.path(obj), {**patch, "metadata": {"managedFields": [{}]}})


def _patch(managed: Managed, obj: Object, tamper: Mapping[str, Any]) -> None:
    import json

    managed.kubectl("patch", _name(obj), "--type=merge", "-p", json.dumps(tamper))


REVERTED: dict[str, Edit] = {
    "edit": lambda m, o, t: m.edit(_name(o), t),
    "patch": _patch,
    "replace": _replace,
    "replace --force": lambda m, o, t: _replace(m, o, t, "--force"),
    "label": lambda m, o, t: m.kubectl("label", _name(o), "foreign=label") and None,
    "label --overwrite": lambda m, o, t: m.kubectl("label", "--overwrite", _name(o), "app=stolen") and None,
    "label removed": lambda m, o, t: m.kubectl("label", _name(o), "app-", "kustomize.toolkit.fluxcd.io/name-") and None,
    "annotate": lambda m, o, t: m.kubectl("annotate", _name(o), "foreign=note") and None,
    "apply": lambda m, o, t: m.kubectl("apply", "-f", "-", stdin=_merged(o, t)) and None,
    "apply --server-side": lambda m, o, t: (
        m.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=_merged(o, t)) and None
    ),
    "delete": lambda m, o, t: m.kubectl("delete", _name(o)) and None,
    "managedFields stripped": lambda m, o, t: _strip(m, o, {}),
    "managedFields stripped and tampered": _strip,
}
"""Edits of which nothing may remain."""


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> Sample:
    return SAMPLES[request.param]


@pytest.mark.parametrize("edit", REVERTED)
def test_kubectl_leaves_nothing_behind(managed: Managed, sample: Sample, edit: str) -> None:
    """Whatever kubectl changed, added or removed is undone, the drift is named, and the next look is quiet."""
    obj = _applied(managed, sample)
    before = content(managed.live(obj))
    REVERTED[edit](managed, obj, sample.tamper)
    change = managed.one(obj)
    assert change.action == ("created" if edit == "delete" else "configured")
    assert change.drift
    assert content(managed.live(obj)) == before
    _is_quiet(managed, obj)


def _is_quiet(managed: Managed, obj: Object) -> None:
    assert not differs(managed.live(obj), managed.dry_run(obj))
    assert managed.entry(obj).fingerprint == managed.metadata(obj).fingerprint
    assert managed.one(obj).action == "unchanged"
    assert managed.writes() == 0


@pytest.mark.parametrize("edit", ["edit", "patch"])
def test_drift_names_field_and_manager(managed: Managed, sample: Sample, edit: str) -> None:
    """The report says which field who changed."""
    obj = _applied(managed, sample)
    REVERTED[edit](managed, obj, sample.tamper)
    assert f"{sample.changed} changed by kubectl-{edit}" in managed.one(obj).drift


@pytest.mark.parametrize("manager", ["other-applier", "dashboard"])
def test_another_manager_keeps_its_own_additions(managed: Managed, sample: Sample, manager: str) -> None:
    """A manager that is not kubectl loses our fields to us and keeps what it added."""
    obj = _applied(managed, sample)
    before = content(managed.live(obj))
    tamper = _merged(sample.tamper, {"metadata": {"labels": {"foreign": "kept"}}})
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
    _is_quiet(managed, obj)


def _without_additions(obj: Object) -> Object:
    cleaned = _merged(obj, {})
    for part in ("data", "spec"):
        if part in cleaned:
            cleaned[part] = {k: v for k, v in cleaned[part].items() if k not in ("extra", "paused", "options")}
    return cleaned


@pytest.mark.parametrize("edit", ["edit", "patch", "label", "annotate"])
def test_merge_keeps_what_kubectl_added(managed: Managed, sample: Sample, edit: str) -> None:
    """Under `ssa: Merge` our fields are restored, and additions survive every later run."""
    obj = sample.make(managed.namespace)
    obj["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/ssa": "Merge"}
    managed.one(obj)
    tamper = _merged(sample.tamper, {"metadata": {"labels": {"foreign": "kept"}}})
    REVERTED[edit](managed, obj, tamper)
    managed.one(obj)
    after = managed.live(obj)
    assert "foreign" in {**after["metadata"]["labels"], **after["metadata"]["annotations"]}
    assert content(after) == content(managed.dry_run(obj))
    assert managed.one(obj).action == "unchanged"
    assert managed.writes() == 0


@pytest.mark.parametrize("kind", ["Deployment", "Gadget"])
def test_scale_is_reverted(managed: Managed, kind: str) -> None:
    """`kubectl scale` of a count that we state is undone, and named."""
    obj = _applied(managed, SAMPLES[kind])
    managed.kubectl("scale", _name(obj), "--replicas=3")
    change = managed.one(obj)
    assert change.drift == ("spec.replicas changed by kubectl",)
    assert managed.live(obj)["spec"]["replicas"] == 0
    _is_quiet(managed, obj)


def test_scale_of_an_unstated_count_is_left_alone(managed: Managed) -> None:
    """Replicas that we do not state belong to whoever scales, an autoscaler or kubectl."""
    obj = SAMPLES["Deployment"].make(managed.namespace)
    del obj["spec"]["replicas"]
    managed.one(obj)
    managed.kubectl("scale", _name(obj), "--replicas=3")
    assert managed.one(obj).action == "unchanged"
    assert managed.live(obj)["spec"]["replicas"] == 3
    managed.one(obj)
    assert managed.writes() == 0


@pytest.mark.parametrize(
    "args",
    [("rollout", "restart"), ("set", "image", "main=example.test/main:2"), ("set", "env", "FOREIGN=1")],
    ids=["rollout restart", "set image", "set env"],
)
def test_workload_commands_are_reverted(managed: Managed, args: tuple[str, ...]) -> None:
    """kubectl's shorthands for editing a workload are edits like any other."""
    obj = _applied(managed, SAMPLES["Deployment"])
    before = content(managed.live(obj))
    managed.kubectl(*args[:2], _name(obj), *args[2:])
    assert managed.one(obj).drift
    assert content(managed.live(obj)) == before
    _is_quiet(managed, obj)


@pytest.mark.parametrize("kind", ["Deployment", "Gadget"])
def test_status_moves_no_fingerprint(managed: Managed, kind: str) -> None:
    """What controllers write to the status subresource costs us nothing, not even a look."""
    obj = _applied(managed, SAMPLES[kind])
    before = managed.metadata(obj)
    managed.client.patch(f"{managed.path(obj)}/status", {"status": {"replicas": 2}}, params={"fieldManager": "kcm"})
    after = managed.metadata(obj)
    assert after.rv != before.rv
    assert after.fingerprint == before.fingerprint


def test_innocent_touch_is_recorded_not_repaired(managed: Managed, sample: Sample) -> None:
    """A controller's annotation and a second owner of the same value are looked at once, and written to never."""
    obj = _applied(managed, sample)
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


def managed_secret(obj: Object) -> Object:
    """The Secret as it is applied: with `data` only."""
    return {**{k: v for k, v in obj.items() if k != "stringData"}, "data": {"color": "cmVk", "size": "MQ=="}}


def test_edit_under_our_own_name_is_seen(managed: Managed, sample: Sample) -> None:
    """Somebody who applies or updates as `kustomize-controller` is found out too."""
    obj = _applied(managed, sample)
    before = content(managed.live(obj))
    managed.update_as("kustomize-controller", obj, sample.tamper)
    assert managed.metadata(obj).fingerprint != managed.entry(obj).fingerprint
    assert managed.one(obj).action == "configured"
    assert content(managed.live(obj)) == before
    _is_quiet(managed, obj)


@pytest.mark.parametrize("seed", range(3))
def test_no_drift_escapes_the_fingerprint(managed: Managed, seed: int) -> None:
    """In a random series of edits by many hands, whenever the oracle would write, the fingerprint has changed."""
    import random

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


def _random_edit(managed: Managed, obj: Object, tamper: Mapping[str, Any], dice: Any) -> None:
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
