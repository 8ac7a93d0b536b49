"""Objects of five kinds that others tamper with, and what is true when nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tests.support.managed import Managed, Object, differs
from tests.support.wait import until


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
        **deepcopy(body),  # tests change what they are given
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


def on_command_line(obj: Object) -> str:
    """How kubectl is told which sample is meant."""
    return f"{obj['kind'].lower()}/sample"


def applied(managed: Managed, sample: Sample) -> Object:
    """The sample's object, applied and seen by its controller, which would race kubectl's own read and write."""
    obj = sample.make(managed.namespace)
    managed.one(obj)
    if obj["kind"] == "Deployment":
        seen_by_its_controller(managed, obj)
    return obj


def seen_by_its_controller(managed: Managed, deployment: Object) -> None:
    """Wait for the annotation that a Deployment's controller adds."""
    until(
        lambda: "deployment.kubernetes.io/revision" in (managed.live(deployment)["metadata"].get("annotations") or {})
    )


def merged(obj: Mapping[str, Any], patch: Mapping[str, Any]) -> Object:
    """A merge patch applied to an object in memory; it removes nothing."""
    whole = dict(obj)
    for key, value in patch.items():
        whole[key] = merged(whole.get(key) or {}, value) if isinstance(value, dict) else value
    return whole


def is_quiet(managed: Managed, obj: Object) -> None:
    """Nothing is left to do: the oracle would not write, and the next look costs no write either."""
    assert not differs(managed.live(obj), managed.dry_run(obj))
    assert managed.entry(obj).fingerprint == managed.metadata(obj).fingerprint
    assert managed.one(obj).action == "unchanged"
    assert managed.writes() == 0
