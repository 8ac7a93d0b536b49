"""Every way in which kubectl reaches into a managed object, on five kinds, judged by an oracle.

The oracle is the API server's own dry run compared with the live object, written apart from the code under test.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.foreign import SAMPLES, Sample, applied, is_quiet, merged, on_command_line
from tests.support.managed import Managed, Object, content

pytestmark = pytest.mark.cluster

Edit = Callable[[Managed, Object, Mapping[str, Any]], object]


def _replace(managed: Managed, obj: Object, tamper: Mapping[str, Any], *flags: str) -> None:
    live = managed.live(obj)
    for key in ("managedFields", "resourceVersion"):  # without a version, kubectl takes the one it finds
        live["metadata"].pop(key)
    managed.kubectl("replace", *flags, "-f", "-", stdin=merged(live, tamper))


def _strip(managed: Managed, obj: Object, patch: Mapping[str, Any]) -> None:
    managed.client.patch(managed.path(obj), {**patch, "metadata": {"managedFields": [{}]}})


def _patch(managed: Managed, obj: Object, tamper: Mapping[str, Any]) -> None:
    managed.kubectl("patch", on_command_line(obj), "--type=merge", "-p", json.dumps(tamper))


REVERTED: dict[str, Edit] = {
    "edit": lambda m, o, t: m.edit(on_command_line(o), t),
    "patch": _patch,
    "replace": _replace,
    "replace --force": lambda m, o, t: _replace(m, o, t, "--force"),
    "label": lambda m, o, t: m.kubectl("label", on_command_line(o), "foreign=label"),
    "label --overwrite": lambda m, o, t: m.kubectl("label", "--overwrite", on_command_line(o), "app=stolen"),
    "label removed": lambda m, o, t: m.kubectl(
        "label", on_command_line(o), "app-", "kustomize.toolkit.fluxcd.io/name-"
    ),
    "annotate": lambda m, o, t: m.kubectl("annotate", on_command_line(o), "foreign=note"),
    "apply": lambda m, o, t: m.kubectl("apply", "-f", "-", stdin=merged(o, t)),
    "apply --server-side": lambda m, o, t: m.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=merged(o, t)
    ),
    "delete": lambda m, o, t: m.kubectl("delete", on_command_line(o)),
    "managedFields stripped": lambda m, o, t: _strip(m, o, {}),
    "managedFields stripped and tampered": _strip,
}
"""Edits of which nothing may remain."""


@pytest.mark.parametrize("edit", REVERTED)
def test_kubectl_leaves_nothing_behind(managed: Managed, sample: Sample, edit: str) -> None:
    """Whatever kubectl changed, added or removed is undone, the drift is named, and the next look is quiet."""
    obj = applied(managed, sample)
    before = content(managed.live(obj))
    REVERTED[edit](managed, obj, sample.tamper)
    change = managed.one(obj)
    assert change.action == ("created" if edit == "delete" else "configured")
    assert change.drift
    assert content(managed.live(obj)) == before
    is_quiet(managed, obj)


@pytest.mark.parametrize("edit", ["edit", "patch"])
def test_drift_names_field_and_manager(managed: Managed, sample: Sample, edit: str) -> None:
    """The report says which field who changed."""
    obj = applied(managed, sample)
    REVERTED[edit](managed, obj, sample.tamper)
    assert f"{sample.changed} changed by kubectl-{edit}" in managed.one(obj).drift


@pytest.mark.parametrize("edit", ["edit", "patch", "label", "annotate"])
def test_merge_keeps_what_kubectl_added(managed: Managed, sample: Sample, edit: str) -> None:
    """Under `ssa: Merge` our fields are restored, and additions survive every later run."""
    obj = sample.make(managed.namespace)
    obj["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/ssa": "Merge"}
    managed.one(obj)
    tamper = merged(sample.tamper, {"metadata": {"labels": {"foreign": "kept"}}})
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
    obj = applied(managed, SAMPLES[kind])
    managed.kubectl("scale", on_command_line(obj), "--replicas=3")
    change = managed.one(obj)
    assert change.drift == ("spec.replicas changed by kubectl",)
    assert managed.live(obj)["spec"]["replicas"] == 0
    is_quiet(managed, obj)


@pytest.mark.parametrize(
    "args",
    [("rollout", "restart"), ("set", "image", "main=example.test/main:2"), ("set", "env", "FOREIGN=1")],
    ids=["rollout restart", "set image", "set env"],
)
def test_workload_commands_are_reverted(managed: Managed, args: tuple[str, ...]) -> None:
    """kubectl's shorthands for editing a workload are edits like any other."""
    obj = applied(managed, SAMPLES["Deployment"])
    before = content(managed.live(obj))
    managed.kubectl(*args[:2], on_command_line(obj), *args[2:])
    assert managed.one(obj).drift
    assert content(managed.live(obj)) == before
    is_quiet(managed, obj)
