"""Bad input: each mistake has its reason and names file, object or field; the good state stays, others go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from tests.support.fleet import NAMESPACE, Fleet, config_map

pytestmark = pytest.mark.acceptance

MAPS = "/api/v1/namespaces/default/configmaps"


@dataclass(frozen=True)
class Mistake:
    """A commit or a spec that is wrong, and what the user must read of it."""

    reason: str
    says: tuple[str, ...]
    files: Mapping[str, str | None] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)


def job(image: str) -> str:
    """A Job, whose template cannot be changed."""
    containers = [{"name": "main", "image": image}]
    template = {"spec": {"restartPolicy": "Never", "containers": containers}}
    meta = {"name": "fixed", "namespace": "default"}
    return yaml.safe_dump({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template}})


KUSTOMIZE = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"

MISTAKES = {
    "invalid-yaml": Mistake("BuildFailed", ("broken.yaml", "line 1"), {"app/broken.yaml": "a: [1\nb: 2\n"}),
    "unknown-kind": Mistake(
        "ReconciliationFailed",
        ("Gadget", "example.com/v1"),
        {"app/gadget.yaml": "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g, namespace: default}\n"},
    ),
    "missing-path": Mistake("ArtifactFailed", ("./nowhere",), spec={"path": "./nowhere"}),
    "undefined-variable": Mistake(
        "BuildFailed",
        ("ConfigMap", "undefined-variable", "nobody_set_me"),
        {"app/map.yaml": config_map("undefined-variable", v="${nobody_set_me}")},
        {"postBuild": {"substitute": {"other": "x"}}},
    ),
    "missing-substitute": Mistake(
        "BuildFailed",
        ("spec.postBuild.substituteFrom", "absent"),
        spec={"postBuild": {"substituteFrom": [{"kind": "ConfigMap", "name": "absent"}]}},
    ),
    "missing-resource": Mistake(
        "BuildFailed",
        ("gone.yaml",),
        {"app/kustomization.yaml": KUSTOMIZE + "resources: [gone.yaml]\n"},
    ),
    "reads-the-worker": Mistake(
        "BuildFailed",
        ("/etc/passwd",),
        {"app/kustomization.yaml": KUSTOMIZE + "resources: [map.yaml, ../../../../etc/passwd]\n"},
    ),
    "remote-base": Mistake(
        "BuildFailed",
        ("https://example.com/base",),
        {"app/kustomization.yaml": KUSTOMIZE + "resources: [map.yaml, https://example.com/base]\n"},
    ),
    "invalid-object": Mistake(
        "ReconciliationFailed",
        ("ConfigMap/default/invalid-object-two", "data"),
        {"app/two.yaml": config_map("invalid-object-two").replace("data: {}", "data: [1]")},
    ),
    "immutable-field": Mistake(
        "ReconciliationFailed", ("Job/default/fixed", "immutable"), {"app/job.yaml": job("example.com/b:2")}
    ),
    "missing-namespace": Mistake(
        "ReconciliationFailed",
        ("ConfigMap/nowhere/lost",),
        {"app/lost.yaml": config_map("lost", "nowhere")},
    ),
    "missing-source": Mistake(
        "ArtifactFailed",
        ("GitRepository/flux-system/absent", "not found"),
        spec={"sourceRef": {"kind": "GitRepository", "name": "absent"}},
    ),
    "missing-dependency": Mistake("DependencyNotReady", ("absent",), spec={"dependsOn": [{"name": "absent"}]}),
    "own-dependency": Mistake("DependencyNotReady", ("cycle",), spec={"dependsOn": [{"name": "own-dependency"}]}),
    "missing-kubeconfig": Mistake(
        "ReconciliationFailed",
        ("spec.kubeConfig", "absent"),
        spec={"kubeConfig": {"secretRef": {"name": "absent"}}},
    ),
    "unreachable-cluster": Mistake(
        "ReconciliationFailed",
        ("127.0.0.1:9",),
        spec={"kubeConfig": {"secretRef": {"name": "unreachable-kubeconfig"}}},
    ),
    "forbidden": Mistake(
        "ReconciliationFailed",
        ("nobody", "ConfigMap/default/more"),
        {"app/more.yaml": config_map("more")},
        {"serviceAccountName": "nobody"},
    ),
    "unsupported": Mistake("FeatureGateDisabled", ("spec.decryption",), spec={"decryption": {"provider": "sops"}}),
}


@pytest.fixture(scope="module")
def mistaken(fleet: Fleet) -> Iterator[Fleet]:
    """Every mistake made at once, each after a good first commit that was applied."""
    unreachable = yaml.safe_load(yaml.safe_dump(fleet.edge.kubeconfig_data))
    unreachable["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    fleet.secret("unreachable-kubeconfig", value=yaml.safe_dump(unreachable))
    repos = {}
    for name in (*MISTAKES, "innocent"):
        first = {"app/map.yaml": config_map(name, v="good")}
        if name == "immutable-field":
            first["app/job.yaml"] = job("example.com/a:1")
        repos[name] = fleet.repository(name, first)
        fleet.kustomization(name, name, path="./app", retryInterval="5m")
    for name, repo in repos.items():
        fleet.wait_ready("Kustomization", name, repo.head(), timeout=120)
    for name, mistake in MISTAKES.items():
        if mistake.spec:
            fleet.kustomization(name, name, **{"path": "./app", "retryInterval": "5m", **mistake.spec})
        if mistake.files:
            fleet.push(repos[name], name, mistake.files)
    yield fleet


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_by_condition_and_event_and_the_good_state_stays(mistaken: Fleet, name: str) -> None:
    """Ready is False with the reason; its message names the place; an event says the same; the object is untouched."""
    mistake = MISTAKES[name]
    ready = mistaken.wait_failed("Kustomization", name, mistake.reason)
    for word in mistake.says:
        assert word in ready["message"]

    def told() -> list[dict[str, Any]]:
        items = mistaken.hub.api("GET", f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
        mine = [item for item in items if item["involvedObject"]["name"] == name]
        return [item for item in mine if item["reason"] == mistake.reason]

    events = mistaken.until(told, f"event {mistake.reason} of {name}")
    assert any(mistake.says[0] in event["message"] for event in events)
    assert mistaken.hub.api("GET", f"{MAPS}/{name}")["data"] == {"v": "good"}


def test_the_mistakes_of_others_hold_nobody_up(mistaken: Fleet) -> None:
    """A Kustomization beside all of them still follows its commits."""
    repo = mistaken.git.create("innocent")
    head = mistaken.push(repo, "innocent", {"app/map.yaml": config_map("innocent", v="better")})
    mistaken.wait_ready("Kustomization", "innocent", head)
    assert mistaken.hub.api("GET", f"{MAPS}/innocent")["data"] == {"v": "better"}


@pytest.mark.parametrize(
    ("name", "url", "reason", "says"),
    [
        ("no-repository", "{git}/absent", "GitOperationFailed", "absent"),
        ("no-host", "http://fleetbeat.invalid/repo", "GitOperationFailed", "fleetbeat.invalid"),
        ("no-scheme", "ssh://git@example.com/repo", "URLInvalid", "ssh"),
        ("empty", "{git}/empty", "EmptyGitRepository", "no commit"),
        ("no-secret", "{git}/innocent", "AuthenticationFailed", "absent"),
    ],
)
def test_a_source_that_cannot_be_read_says_why(mistaken: Fleet, name: str, url: str, reason: str, says: str) -> None:
    """FetchFailed and Ready carry the reason; the message names what to look at."""
    mistaken.git.create("empty")
    spec = {"secretRef": {"name": "absent"}} if name == "no-secret" else {}
    mistaken.source(f"src-{name}", url.format(git=mistaken.git.url), **spec)
    assert says in mistaken.wait_failed("GitRepository", f"src-{name}", reason)["message"]
    assert mistaken.condition("GitRepository", f"src-{name}", "FetchFailed")["reason"] == reason


def test_wrong_credentials_are_told_without_quoting_them(mistaken: Fleet) -> None:
    """AuthenticationFailed, and the password is nowhere in the status."""
    mistaken.secret("wrong-login", username="somebody", password="hunter2-secret")
    mistaken.git.access.basic = ("somebody", "the right one")
    try:
        mistaken.source("src-login", f"{mistaken.git.url}/innocent", secretRef={"name": "wrong-login"})
        mistaken.wait_failed("GitRepository", "src-login", "AuthenticationFailed")
        assert "hunter2" not in str(mistaken.get("GitRepository", "src-login")["status"])
    finally:
        mistaken.git.access.basic = None
