"""`fleetbeat trace` on a real API server: from an object to the source and the revision."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.cluster.cli.conftest import KUSTOMIZATIONS, SHA, SOURCES, Command, Objects
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

REVISION = f"main@sha1:{SHA}"


def applied(objects: Objects, name: str, *ids: str, **spec: Any) -> None:
    """A ready Kustomization with this inventory, of the ready source `repo`."""
    objects.kustomization(name, path=f"./{name}", **spec)
    entries = [{"id": one, "v": "v1"} for one in ids]
    objects.report(
        KUSTOMIZATIONS,
        name,
        "True",
        "ReconciliationSucceeded",
        "applied",
        lastAppliedRevision=REVISION,
        inventory={"entries": entries},
    )


def source(objects: Objects) -> None:
    objects.git_repository("repo")
    artifact = {"path": "p", "url": "http://x/p", "revision": REVISION, "digest": "sha256:" + "ab" * 32}
    artifact["lastUpdateTime"] = "2026-01-01T00:00:00Z"
    objects.report(SOURCES, "repo", "True", "Succeeded", "stored artifact", artifact=artifact)


def config_map(cluster: Cluster, namespace: str, name: str, **metadata: Any) -> dict[str, Any]:
    made: dict[str, Any] = cluster.api(
        "POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": name, **metadata}}
    )
    return made


def chain(objects: Objects, name: str) -> list[str]:
    """The lines from a Kustomization on."""
    space = objects.namespace
    return [
        f"└─ ✔ Kustomization/{space}/{name}  path ./{name}, main@sha1:01234567",
        f"   └─ ✔ GitRepository/{space}/repo  https://git.example.com/repo.git, branch main, main@sha1:01234567",
    ]


@pytest.mark.parametrize("words", [("cm/settings",), ("ConfigMap", "settings"), ("configmaps", "settings")])
def test_an_object_of_the_hub(objects: Objects, fleetbeat: Command, words: tuple[str, ...]) -> None:
    """By kind, plural or short name."""
    source(objects)
    config_map(objects.cluster, objects.namespace, "settings")
    applied(objects, "apps", f"{objects.namespace}_settings__ConfigMap")
    ran = fleetbeat("trace", *words)
    assert ran.code == 0, ran.err
    assert ran.lines == [f"✔ ConfigMap/{objects.namespace}/settings", *chain(objects, "apps")]


def test_the_same_name_on_several_clusters(
    objects: Objects, fleetbeat: Command, clusters: Callable[[int], list[Cluster]]
) -> None:
    """Each is told with its cluster, reachable or not; `tree` shows the health there too."""
    source(objects)
    edge = clusters(2)[1]
    edge.create_namespace(objects.namespace)
    config_map(edge, objects.namespace, "settings")
    secret = {"metadata": {"name": "edge"}, "stringData": {"value": yaml.safe_dump(edge.kubeconfig_data)}}
    objects.cluster.api("POST", f"/api/v1/namespaces/{objects.namespace}/secrets", secret)
    entry = f"{objects.namespace}_settings__ConfigMap"
    applied(objects, "far", entry, kubeConfig={"secretRef": {"name": "edge"}})
    applied(objects, "lost", entry, kubeConfig={"secretRef": {"name": "absent"}})
    ran = fleetbeat("trace", "cm/settings")
    name = f"ConfigMap/{objects.namespace}/settings"
    assert ran.lines[:3] == [f"✔ {name}  on Secret/edge", *chain(objects, "far")]
    assert ran.lines[3].startswith(f"◌ {name}  spec.kubeConfig.secretRef: ")
    assert ran.lines[3].endswith("on Secret/absent")
    assert ran.lines[4:] == chain(objects, "lost")
    assert fleetbeat("tree", "ks", "far").lines[1] == f"└─ ✔ {name}"
    edge.api("DELETE", f"/api/v1/namespaces/{objects.namespace}")


def test_what_an_owner_made(objects: Objects, fleetbeat: Command) -> None:
    """Over owner references to the object that carries the labels of its Kustomization."""
    source(objects)
    applied(objects, "apps")
    group = "kustomize.toolkit.fluxcd.io"
    labels = {f"{group}/name": "apps", f"{group}/namespace": objects.namespace}
    parent = config_map(objects.cluster, objects.namespace, "parent", labels=labels)
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "parent", "uid": parent["metadata"]["uid"]}
    config_map(objects.cluster, objects.namespace, "child", ownerReferences=[owner])
    data = json.loads(fleetbeat("trace", "cm/child", "-o", "json").out)
    assert [step["object"] for step in data[0]] == [
        f"ConfigMap/{objects.namespace}/child",
        f"ConfigMap/{objects.namespace}/parent",
        f"Kustomization/{objects.namespace}/apps",
        f"GitRepository/{objects.namespace}/repo",
    ]
    assert data[0][-1]["revision"] == REVISION


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("cm/stray", "was not applied by Fleetbeat or Flux"),
        ("cm/absent", "no Kustomization applied cm/absent"),
        ("stray", "name exactly one object"),
    ],
)
def test_what_nobody_applied(objects: Objects, fleetbeat: Command, word: str, says: str) -> None:
    """One clear line."""
    config_map(objects.cluster, objects.namespace, "stray")
    ran = fleetbeat("trace", word)
    assert ran.code == 1
    assert says in ran.err
