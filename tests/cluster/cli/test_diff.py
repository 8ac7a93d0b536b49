"""`build kustomization` and `diff kustomization` on a real API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetbeat.api.refs import Ref
from fleetbeat.kube.apply import ApplyOptions, apply_set
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.identity import hub_id
from fleetbeat.kube.ledger import Ledger
from fleetbeat.kube.target import Target
from tests.cluster.cli.conftest import KUSTOMIZATIONS, Command, Objects
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  region: ${region}
  version: "${version}"
  odd: "1e3"
"""
FILES = {
    "apps/kustomization.yaml": "resources: [../base, settings.yaml]\nsecretGenerator:\n"
    "- {name: keys, literals: [password=hunter2, user=ann], options: {disableNameSuffixHash: true}}\n",
    "apps/settings.yaml": SETTINGS,
    "base/kustomization.yaml": "resources: [account.yaml]\n",
    "base/account.yaml": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n",
}


class Tree:
    """A local source with a Kustomization `apps` of `./apps` on the cluster."""

    def __init__(self, root: Path, objects: Objects, command: Command, cluster: Cluster) -> None:
        self.root, self.objects, self.command = root, objects, command
        self.client = KubeClient(ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True))
        for name, text in FILES.items():
            self.write(name, text)
        objects.cluster.api("POST", self.path("configmaps"), {"metadata": {"name": "vars"}, "data": {"region": "eu"}})
        objects.kustomization("apps", **self.spec)

    @property
    def spec(self) -> dict[str, Any]:
        source = [{"kind": "ConfigMap", "name": "vars"}]
        return {
            "path": "./apps",
            "targetNamespace": self.objects.namespace,
            "postBuild": {"substituteFrom": source, "substitute": {"version": '"1.10"'}},
        }

    def path(self, plural: str) -> str:
        return f"/api/v1/namespaces/{self.objects.namespace}/{plural}"

    def write(self, name: str, text: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def built(self) -> list[dict[str, Any]]:
        """What the command prints, as objects."""
        ran = self.command("build", "kustomization", "apps", "--path", str(self.root / "apps"))
        assert ran.code == 0, ran.err
        return list(yaml.safe_load_all(ran.out))

    def apply(self) -> None:
        """What a worker would do with the present tree; the Secret as it is in the files."""
        objects = self.built()
        for obj in objects:
            if obj["kind"] == "Secret":
                obj["data"] = {"password": "aHVudGVyMg==", "user": "YW5u"}
        ref = Ref("Kustomization", self.objects.namespace, "apps")
        hub = hub_id(self.client)
        done = apply_set(Target.of(self.client), objects, Ledger(ref, hub), ApplyOptions(ref, hub))
        entries = [{"id": oid.inventory_id, "v": entry.version} for oid, entry in done.entries.items()]
        self.objects.report(KUSTOMIZATIONS, "apps", "True", "Ok", "applied", inventory={"entries": entries})

    def diff(self, *more: str, **env: str) -> Any:
        return self.command("diff", "ks", "apps", "--path", str(self.root / "apps"), *more, **env)


@pytest.fixture
def tree(tmp_path: Path, objects: Objects, fleetbeat: Command, cluster: Cluster) -> Tree:
    """The files of `FILES`, nothing applied yet."""
    return Tree(tmp_path / "source", objects, fleetbeat, cluster)


def test_build_prints_what_a_worker_would_apply(tree: Tree) -> None:
    """Variables of the cluster, labels of the owner, Secrets masked, strings still strings."""
    by_kind = {obj["kind"]: obj for obj in tree.built()}
    assert by_kind["ConfigMap"]["data"] == {"region": "eu", "version": "1.10", "odd": "1e3"}
    assert by_kind["Secret"]["data"] == {"password": "*****", "user": "*****"}
    group, namespace = "kustomize.toolkit.fluxcd.io", tree.objects.namespace
    owner = {f"{group}/name": "apps", f"{group}/namespace": namespace}
    for obj in by_kind.values():
        assert obj["metadata"]["namespace"] == tree.objects.namespace
        assert obj["metadata"]["labels"].items() >= owner.items()


def test_diff_of_what_is_new(tree: Tree) -> None:
    """Every object is created, the exit code is 1, and nothing was written."""
    ran = tree.diff()
    assert ran.code == 1, ran.err
    namespace = tree.objects.namespace
    heads = [line for line in ran.lines if line.startswith("►")]
    assert heads == [f"► {kind}/{namespace}/{name} created" for kind, name in
                     (("ServiceAccount", "web"), ("ConfigMap", "settings"), ("Secret", "keys"))]  # fmt: skip
    assert "+  region: eu" in ran.lines
    assert "hunter2" not in ran.out
    assert "aHVudGVyMg" not in ran.out
    assert "3 created" in ran.err
    assert [one["metadata"]["name"] for one in tree.objects.cluster.api("GET", tree.path("secrets"))["items"]] == []


def test_diff_of_what_is_applied_is_empty(tree: Tree) -> None:
    """Exit code 0, nothing on standard output."""
    tree.apply()
    ran = tree.diff()
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert "3 unchanged" in ran.err


def test_diff_shows_changes_and_prunes_but_no_secret(tree: Tree) -> None:
    """A changed field as a unified diff, a changed Secret by key alone, a removed object as deleted."""
    tree.apply()
    tree.write("apps/settings.yaml", SETTINGS.replace("${region}", "us"))
    tree.write("base/kustomization.yaml", "resources: []\n")
    tree.write("apps/kustomization.yaml", FILES["apps/kustomization.yaml"].replace("hunter2", "hunter3"))
    ran = tree.diff()
    namespace = tree.objects.namespace
    assert ran.code == 1, ran.err
    assert [line for line in ran.lines if line.startswith("►")] == [
        f"► ConfigMap/{namespace}/settings changed",
        f"► Secret/{namespace}/keys changed",
        f"► ServiceAccount/{namespace}/web deleted",
    ]
    changed = [line for line in ran.lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == [
        "-  region: eu",
        "+  region: us",
        "-  password: '***** (before)'",
        "+  password: '***** (after)'",
    ]
    assert "hunter" not in ran.out
    assert "\x1b[" not in ran.out
    coloured = tree.diff(FORCE_COLOR="1")
    assert "\x1b[32m+  region: us\x1b[0m" in coloured.out


def test_diff_names_what_kubectl_added(tree: Tree) -> None:
    """An addition that an apply would take away is no difference of the dry run, and told all the same."""
    tree.apply()
    tree.objects.cluster.api(
        "PATCH",
        f"{tree.path('configmaps')}/settings?fieldManager=kubectl-edit",
        {"data": {"extra": "x"}},
        "application/merge-patch+json",
    )
    ran = tree.diff()
    assert ran.code == 1, ran.err
    assert "- data.extra added by kubectl-edit, which an apply takes away" in ran.lines


def test_diff_tells_every_refusal_and_exits_with_2(tree: Tree) -> None:
    """What the API server refuses, or no cluster knows, is an error and not a difference."""
    bad = "apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {ports: [{port: 99999999}]}\n"
    unknown = "apiVersion: example.com/v1\nkind: Nothing\nmetadata: {name: x}\n"
    tree.write("base/account.yaml", bad % "a" + "---\n" + bad % "b" + "---\n" + unknown)
    ran = tree.diff()
    assert ran.code == 2
    namespace = tree.objects.namespace
    assert f"Service/{namespace}/a dry-run failed" in ran.err
    assert f"Service/{namespace}/b dry-run failed" in ran.err
    assert f"Nothing/{namespace}/x dry-run failed" in ran.err
    assert f"► ConfigMap/{namespace}/settings created" in ran.lines


def test_what_the_build_brings_itself_is_no_error(tree: Tree) -> None:
    """Objects of a namespace or a kind that the same build creates are created."""
    crd = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.diff.example.com}
spec:
  group: diff.example.com
  scope: Namespaced
  names: {kind: Gadget, plural: gadgets}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
    inside = "apiVersion: %s\nkind: %s\nmetadata: {name: x, namespace: diff-new}\n"
    tree.write("new/all.yaml", crd + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: diff-new}\n---\n"
               + inside % ("diff.example.com/v1", "Gadget") + "---\n" + inside % ("v1", "ConfigMap"))  # fmt: skip
    tree.objects.kustomization("new", path="./new")
    ran = tree.command("diff", "kustomization", "new", "--path", str(tree.root / "new"))
    assert ran.code == 1, ran.err
    assert [line.split()[1] for line in ran.lines if line.startswith("►")] == [
        "CustomResourceDefinition/gadgets.diff.example.com",
        "Namespace/diff-new",
        "ConfigMap/diff-new/x",
        "Gadget/diff-new/x",
    ]


def test_a_file_stands_for_a_kustomization_that_is_not_there(tree: Tree, tmp_path: Path) -> None:
    """--kustomization-file is compared without an inventory; without it a missing one is an error."""
    file = tmp_path / "ks.yaml"
    whole = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "other"}}
    source = {"kind": "GitRepository", "name": "repo"}
    file.write_text(yaml.safe_dump({**whole, "spec": {**tree.spec, "prune": True, "sourceRef": source}}))
    words = ("diff", "ks", "other", "--path", str(tree.root / "apps"))
    ran = tree.command(*words, "--kustomization-file", str(file))
    assert ran.code == 1, ran.err
    assert "(not on the cluster yet)  3 created" in ran.err
    missing = tree.command(*words)
    assert missing.code == 2
    assert "there is no Kustomization/" in missing.err


def test_ignored_fields_and_hidden_objects_are_no_difference(tree: Tree) -> None:
    """spec.ignore and the annotations that keep an apply away count as in a run."""
    tree.apply()
    rules = [{"paths": ["/data/region"], "target": {"kind": "ConfigMap"}}]
    path = f"{KUSTOMIZATIONS.format(tree.objects.namespace)}/apps"
    tree.objects.cluster.api("PATCH", path, {"spec": {"ignore": rules}}, "application/merge-patch+json")
    tree.write("apps/settings.yaml", SETTINGS.replace("${region}", "us"))
    hidden = "metadata: {name: web, annotations: {kustomize.toolkit.fluxcd.io/reconcile: disabled}}\n"
    tree.write("base/account.yaml", f"apiVersion: v1\nkind: ServiceAccount\n{hidden}")
    ran = tree.diff()
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert "2 unchanged, 1 skipped" in ran.err


def test_recursion_compares_what_the_objects_bring(tree: Tree) -> None:
    """Kustomizations with their own objects, also those in a namespace that another one brings."""
    tree.apply()
    spec = {"prune": True, "interval": "1m", "sourceRef": {"kind": "GitRepository", "name": "repo"}}
    for name in ("below", "spaces"):
        meta = {"name": name, "namespace": tree.objects.namespace}
        child = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": meta}
        tree.write(f"base/{name}.yaml", yaml.safe_dump({**child, "spec": {**spec, "path": f"./{name}"}}))
    tree.write("base/kustomization.yaml", "resources: [account.yaml, below.yaml, spaces.yaml]\n")
    tree.write("below/inside.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: diff-below}\n")
    tree.write("spaces/space.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: diff-below}\n")
    ran = tree.diff("--recursive")
    assert ran.code == 1, ran.err
    namespace = tree.objects.namespace
    assert [line for line in ran.lines if line.startswith("►")] == [
        f"► Kustomization/{namespace}/below created",
        f"► Kustomization/{namespace}/spaces created",
        "► ConfigMap/diff-below/x created",
        "► Namespace/diff-below created",
    ]
    assert f"Kustomization/{namespace}/apps  2 created, 3 unchanged" in ran.err
    assert f"Kustomization/{namespace}/below (not on the cluster yet)  1 created" in ran.err
