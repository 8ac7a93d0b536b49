"""`events`, `tree` and `explain` on a real API server."""

from __future__ import annotations

import json

import pytest

from tests.cluster.cli.conftest import KUSTOMIZATIONS, SHA, Command, Objects

pytestmark = pytest.mark.cluster


def event(objects: Objects, name: str, kind: str, about: str, message: str, *, second: int, count: int = 1) -> None:
    """A core/v1 Event about an object."""
    group = "kustomize" if kind == "Kustomization" else "source"
    time = f"2026-01-01T00:00:{second:02}Z"
    body = {
        "metadata": {"name": name},
        "involvedObject": {
            "apiVersion": "apps/v1" if kind == "Deployment" else f"{group}.toolkit.fluxcd.io/v1",
            "kind": kind,
            "name": about,
            "namespace": objects.namespace,
        },
        "type": "Warning" if "failed" in message else "Normal",
        "reason": "Because",
        "message": message,
        "count": count,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "source": {"component": "kustomize-controller"},
    }
    objects.cluster.api("POST", f"/api/v1/namespaces/{objects.namespace}/events", body)


def test_events_are_of_our_kinds_and_oldest_first(objects: Objects, fleetbeat: Command) -> None:
    """Others' events are left out; repeats are counted; --for keeps an object and its source."""
    objects.git_repository("repo")
    objects.kustomization("apps")
    event(objects, "c", "Kustomization", "apps", "build failed", second=30, count=3)
    event(objects, "a", "GitRepository", "repo", "stored artifact", second=10)
    event(objects, "b", "Kustomization", "other", "applied", second=20)
    event(objects, "d", "Deployment", "web", "scaled", second=40)
    messages = [line.split("   ")[-1].strip() for line in fleetbeat("events").lines[1:]]
    assert messages == ["stored artifact", "applied", "build failed (×3)"]
    about = fleetbeat("events", "--for", "ks/apps", "-o", "json")
    assert [e["message"] for e in json.loads(about.out)["items"]] == ["stored artifact", "build failed"]


def test_tree_shows_each_object_as_it_is_now(objects: Objects, fleetbeat: Command) -> None:
    """Objects from the inventory with their health, nested Kustomizations opened, missing ones marked."""
    namespace = objects.namespace
    objects.cluster.api("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "settings"}})
    revision = f"main@sha1:{SHA}"
    objects.kustomization("root")
    objects.kustomization("apps")
    inner = [{"id": f"{namespace}_settings__ConfigMap", "v": "v1"}, {"id": f"{namespace}_gone__ConfigMap", "v": "v1"}]
    outer = [{"id": f"{namespace}_apps_kustomize.toolkit.fluxcd.io_Kustomization", "v": "v1"}]
    outer.append({"id": f"_{namespace}__Namespace", "v": "v1"})
    applied = {
        "ready": "True",
        "reason": "ReconciliationSucceeded",
        "message": "applied",
        "lastAppliedRevision": revision,
    }
    objects.report(KUSTOMIZATIONS, "root", **applied, inventory={"entries": outer})
    objects.report(KUSTOMIZATIONS, "apps", **applied, inventory={"entries": inner})
    assert fleetbeat("tree", "ks", "root").lines == [
        f"✔ Kustomization/{namespace}/root  main@sha1:01234567",
        f"├─ ✔ Namespace/{namespace}",
        f"└─ ✔ Kustomization/{namespace}/apps  main@sha1:01234567",
        f"   ├─ ✗ ConfigMap/{namespace}/gone  not found on the cluster",
        f"   └─ ✔ ConfigMap/{namespace}/settings",
    ]
    data = json.loads(fleetbeat("tree", "ks", "root", "-o", "json").out)
    assert data["children"][1]["children"][0]["health"] == "NotFound"


def test_tree_of_an_unreachable_cluster_says_why(objects: Objects, fleetbeat: Command) -> None:
    """Without its kubeconfig Secret the objects are unknown, not missing."""
    objects.kustomization("apps", kubeConfig={"secretRef": {"name": "absent"}})
    entries = [{"id": f"{objects.namespace}_settings__ConfigMap", "v": "v1"}]
    objects.report(KUSTOMIZATIONS, "apps", "True", "ReconciliationSucceeded", "applied", inventory={"entries": entries})
    ran = fleetbeat("tree", "ks", "apps")
    assert ran.code == 0
    assert "◌ ConfigMap" in ran.lines[1] and "absent" in ran.lines[1]


def test_explain_follows_the_chain(objects: Objects, fleetbeat: Command) -> None:
    """One sentence from the object that was asked for to the one that blocks it."""
    objects.kustomization("infra")
    objects.kustomization("apps", dependsOn=[{"name": "infra"}])
    objects.report(KUSTOMIZATIONS, "infra", "False", "BuildFailed", "no such file: a.yaml")
    objects.report(KUSTOMIZATIONS, "apps", "False", "DependencyNotReady", "dependency is not ready")
    space = objects.namespace
    assert fleetbeat("explain", "ks", "apps").out == (
        f"Kustomization/{space}/apps waits for Kustomization/{space}/infra, which failed with BuildFailed: "
        "no such file: a.yaml; it runs as soon as infra is ready.\n"
    )
    assert json.loads(fleetbeat("explain", "ks/apps", "-o", "json").out)["reason"] == "DependencyNotReady"


def test_explain_names_a_cycle(objects: Objects, fleetbeat: Command) -> None:
    """Objects that wait for each other are told apart from ones that will come up."""
    for name, other in (("a", "b"), ("b", "a")):
        objects.kustomization(name, dependsOn=[{"name": other}])
        objects.report(KUSTOMIZATIONS, name, "False", "DependencyNotReady", "dependency is not ready")
    assert "cycle a → b → a" in fleetbeat("explain", "ks", "a").out


def test_explain_without_a_redis_that_should_be_there(objects: Objects, fleetbeat: Command) -> None:
    """The object is judged alone, and the user is told."""
    objects.kustomization("apps")
    ran = fleetbeat("explain", "ks", "apps", FLEETBEAT_REDIS_URL="redis://127.0.0.1:1/0")
    assert ran.code == 0
    assert "has not been reconciled yet" in ran.out
    assert "Redis does not answer" in ran.err
