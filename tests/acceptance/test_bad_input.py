"""Bad input: each mistake has its reason and names file, object or field; the good state stays, others go on."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import yaml

from fleetbeat.sources.git import GitLimits
from tests.support import hostile
from tests.support.fleet import NAMESPACE, Fleet, config_map
from tools.gitrepo import GitRepo
from tools.gitserver import GitServer

pytestmark = pytest.mark.acceptance

MAPS = "/api/v1/namespaces/default/configmaps"


@dataclass(frozen=True)
class Mistake:
    """A commit or a spec that is wrong, and what the user must read of it."""

    reason: str
    says: tuple[str, ...]
    files: Mapping[str, str | None] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    """Symbolic links of the commit: path → target."""
    event: bool = True
    """False: told in the status alone."""


def job(image: str) -> str:
    """A Job, whose template cannot be changed."""
    containers = [{"name": "main", "image": image}]
    template = {"spec": {"restartPolicy": "Never", "containers": containers}}
    meta = {"name": "fixed", "namespace": "default"}
    return yaml.safe_dump({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template}})


FILE = "app/kustomization.yaml"
BUILD = f"kustomize build of {FILE}"


def kustomize(fields: str, *says: str, **links: str) -> Mistake:
    """A commit with this kustomization.yaml beside the good map.yaml."""
    text = f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n{fields}\n"
    return Mistake("BuildFailed", says, {FILE: text}, links=links)


def elsewhere(secret: str, *says: str) -> Mistake:
    """A Kustomization for a cluster that cannot be used."""
    return Mistake("ReconciliationFailed", says, spec={"kubeConfig": {"secretRef": {"name": secret}}})


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
    "missing-resource": kustomize("resources: [gone.yaml]", "gone.yaml", BUILD, "accumulating resources"),
    "reads-the-worker": kustomize(
        "resources: [map.yaml, ../../../../etc/passwd]", "/etc/passwd", BUILD, "accumulating resources"
    ),
    "reads-an-absolute-path": kustomize(
        "resources: [map.yaml, /etc/passwd]", "/etc/passwd", BUILD, "accumulating resources"
    ),
    "reads-the-environment": kustomize(
        "resources: [map.yaml]\nconfigMapGenerator: [{name: x, files: [/proc/self/environ]}]",
        "/proc/self/environ",
        BUILD,
        "file sources",
    ),
    "reads-a-key": kustomize(
        "resources: [map.yaml]\nsecretGenerator: [{name: x, files: [k=../../etc/shadow]}]",
        "/etc/shadow",
        BUILD,
        "file sources",
    ),
    "reads-a-component": kustomize(
        "resources: [map.yaml]\ncomponents: [../../../../etc]", "/etc, outside", BUILD, "accumulating components"
    ),
    "reads-through-a-link": kustomize(
        "resources: [map.yaml, link.yaml]",
        "link.yaml",
        "app/link.yaml is a symbolic link, which artifacts do not carry",
        BUILD,
        "accumulating resources",
        **{"app/link.yaml": "../../../../etc/passwd"},
    ),
    "remote-base": kustomize("resources: [map.yaml, https://example.com/base]", "https://example.com/base", FILE),
    "helm-chart": kustomize("resources: [map.yaml]\nhelmCharts: [{name: app}]", "helmCharts", FILE),
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
        event=False,
    ),
    "missing-dependency": Mistake("DependencyNotReady", ("absent",), spec={"dependsOn": [{"name": "absent"}]}),
    "own-dependency": Mistake("DependencyNotReady", ("cycle",), spec={"dependsOn": [{"name": "own-dependency"}]}),
    "missing-kubeconfig": elsewhere("absent", "spec.kubeConfig", "absent", "not found"),
    "keyless-kubeconfig": elsewhere("keyless", "spec.kubeConfig", "Secret flux-system/keyless", "'value'"),
    "garbled-kubeconfig": elsewhere("garbled", "spec.kubeConfig", "garbled", "not valid YAML"),
    "unreachable-cluster": elsewhere("unreachable", "127.0.0.1:9"),
    "expired-cluster": elsewhere("expired", "https://127.0.0.1:", "the server's certificate has expired"),
    "expired-account": elsewhere("late", "https://127.0.0.1:", "the client certificate expired at", "renew it"),
    "forbidden": Mistake(
        "ReconciliationFailed",
        ("nobody", "ConfigMap/default/more"),
        {"app/more.yaml": config_map("more")},
        {"serviceAccountName": "nobody"},
    ),
    "missing-keys": Mistake(
        "BuildFailed",
        ("spec.decryption.secretRef", "Secret flux-system/absent"),
        spec={"decryption": {"provider": "sops", "secretRef": {"name": "absent"}}},
    ),
    "encrypted": Mistake(
        "BuildFailed",
        ("Secret/default/sealed", "spec.decryption is not set"),
        {
            "app/sealed.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: sealed, namespace: default}\n"
            "stringData: {a: 'ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]'}\nsops: {mac: 'ENC[AES256_GCM,data:x]'}\n"
        },
    ),
}


def huge(repo: GitRepo) -> None:
    """One byte more than a file may have; a quarter of a megabyte on the wire."""
    repo.commit({"app/zeros.bin": bytes(GitLimits().object_bytes + 1)})


def escaping(repo: GitRepo) -> None:
    """A file whose name leads out of the repository."""
    entry = (b"100644", b"../../../../tmp/owned", hostile.add_blob(repo))
    hostile.commit_tree(repo, hostile.add_tree(repo, entry))


def endless(repo: GitRepo) -> None:
    """Ten thousand million files in eleven objects, deeper than any path may be."""
    tree = hostile.add_tree(repo, (b"100644", b"f", hostile.add_blob(repo)))
    for _ in range(300):
        tree = hostile.add_tree(repo, (b"40000", b"a", tree), (b"40000", b"b", tree))
    hostile.commit_tree(repo, tree)


BOMBS: dict[str, tuple[Callable[[GitRepo], None], tuple[str, ...]]] = {
    "huge-file": (huge, (str(GitLimits().object_bytes + 1), str(GitLimits().object_bytes))),
    "escaping-name": (escaping, ("unsafe name", "tmp/owned")),
    "endless-tree": (endless, ("nests deeper than",)),
}
"""Commits that are refused by the source: how they are made, and what the user must read of them."""


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A server whose own certificate has expired; its authority's has not."""
    with GitServer(tmp_path_factory.mktemp("expired"), tls=True, lifetime=timedelta(days=-1)) as server:
        yield server


def write_secrets(fleet: Fleet, expired: GitServer) -> None:
    """The kubeconfigs that the mistakes refer to, and the authority of the expired server."""
    good = fleet.edge.kubeconfig_data
    late = fleet.edge.user_kubeconfig("late", ["system:masters"], timedelta(days=-1))
    fleet.secret("keyless", kubeconfig=yaml.safe_dump(good))
    fleet.secret("garbled", value="clusters: [")
    fleet.secret("late", value=yaml.safe_dump(late))
    fleet.secret("expired-authority", **{"ca.crt": expired.ca.decode()})
    certificate = base64.b64encode(expired.ca).decode()
    for name, server in (
        ("unreachable", {"server": "https://127.0.0.1:9"}),
        ("expired", {"server": expired.url, "certificate-authority-data": certificate}),
    ):
        fleet.secret(name, value=yaml.safe_dump({**good, "clusters": [{**good["clusters"][0], "cluster": server}]}))


@pytest.fixture(scope="module")
def mistaken(fleet: Fleet, expired: GitServer) -> Iterator[Fleet]:
    """Every mistake made at once, each after a good first commit that was applied."""
    write_secrets(fleet, expired)
    repos = {}
    for name in (*MISTAKES, *BOMBS, "innocent"):
        first = {"app/map.yaml": config_map(name, v="good")}
        if name == "immutable-field":
            first["app/job.yaml"] = job("example.com/a:1")
        repos[name] = fleet.repository(name, first)
        fleet.kustomization(name, name, path="./app", retryInterval="5m")
    for name, repo in repos.items():
        fleet.wait_ready("Kustomization", name, repo.head(), timeout=240)
    for name, mistake in MISTAKES.items():
        if mistake.spec:
            fleet.kustomization(name, name, **{"path": "./app", "retryInterval": "5m", **mistake.spec})
        if mistake.files:
            modes = dict.fromkeys(mistake.links, 0o120000)
            fleet.push(repos[name], name, {**mistake.files, **mistake.links}, modes)
    for name, (make, _) in BOMBS.items():
        make(repos[name])
        fleet.request("GitRepository", name)
    yield fleet


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_by_condition_and_event_and_the_good_state_stays(mistaken: Fleet, name: str) -> None:
    """Ready is False with the reason; its message names the place; an event says the same; the object is untouched."""
    mistake = MISTAKES[name]
    check_told(mistaken, "Kustomization", name, mistake.reason, mistake.says, event=mistake.event)
    assert mistaken.hub.api("GET", f"{MAPS}/{name}")["data"] == {"v": "good"}


@pytest.mark.parametrize("name", BOMBS)
def test_a_commit_that_may_not_be_archived_leaves_the_last_good_one(mistaken: Fleet, name: str) -> None:
    """The source says what is wrong with it; its artifact and the objects of the commit before stay."""
    good = mistaken.get("Kustomization", name)["status"]["lastAppliedRevision"]
    check_told(mistaken, "GitRepository", name, "ArchiveOperationFailed", BOMBS[name][1])
    assert mistaken.get("GitRepository", name)["status"]["artifact"]["revision"] == good
    mistaken.reconcile("Kustomization", name)
    assert mistaken.wait_ready("Kustomization", name)["status"]["lastAppliedRevision"] == good
    assert mistaken.hub.api("GET", f"{MAPS}/{name}")["data"] == {"v": "good"}


def check_told(fleet: Fleet, kind: str, name: str, reason: str, says: tuple[str, ...], *, event: bool = True) -> None:
    """Ready is False for the reason; the words are in its message, in an event and in a line of the command."""
    message = fleet.wait_failed(kind, name, reason, timeout=120)["message"]
    for word in says:
        assert word in message

    def events() -> list[dict[str, Any]]:
        items = fleet.hub.api("GET", f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
        mine = [i for i in items if (i["involvedObject"]["kind"], i["involvedObject"]["name"]) == (kind, name)]
        return [item for item in mine if item["reason"] == reason]

    told = fleet.until(events, f"event {reason} of {name}") if event else events()
    assert any(says[0] in one["message"] for one in told) == event
    line = fleet.command("get", kind, name).splitlines()[1]
    assert "False" in line
    assert says[0] in line


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
        ("odd-url", "{git}/innocent?with=query", "URLInvalid", "query"),
        ("no-key", "ssh://git@127.0.0.1:1/repo", "ValidationFailed", "known_hosts"),
        ("empty", "{git}/empty", "EmptyGitRepository", "no commit"),
        ("absent", "{git}/innocent", "AuthenticationFailed", "absent"),
        ("expired-authority", "{expired}/innocent", "GitOperationFailed", "certificate has expired"),
    ],
)
def test_a_source_that_cannot_be_read_says_why(
    mistaken: Fleet, expired: GitServer, name: str, url: str, reason: str, says: str
) -> None:
    """FetchFailed and Ready carry the reason; the message names what to look at."""
    mistaken.git.create("empty")
    spec = {"secretRef": {"name": name}} if name in ("absent", "expired-authority") else {}
    mistaken.source(f"src-{name}", url.format(git=mistaken.git.url, expired=expired.url), **spec)
    check_told(mistaken, "GitRepository", f"src-{name}", reason, (says,))
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
