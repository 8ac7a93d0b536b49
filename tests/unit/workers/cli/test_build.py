"""`fleetbeat build kustomization` without a cluster, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from fleetbeat.errors import BuildFailed, CommandFailed
from tests.unit.render.conftest import read_objects
from tools import binaries
from workers.cli import manifests
from workers.cli.main import app

pytestmark = pytest.mark.unit

CM = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {x: '%s'}\n"


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of this tree."""
    monkeypatch.setenv("FLEETBEAT_ENGINE", str(binaries.find(binaries.ENGINE)))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source whose overlay reads a base beside it, a file that is left out, a symlink."""
    root = tmp_path / "source"
    for name, text in {
        "clusters/one/kustomization.yaml": "resources: [../../base]\n",
        "base/a.yaml": CM % ("a", "${v:-default}"),
        "base/kustomization.yaml": "resources: [a.yaml]\n",
        "plain/b.yaml": CM % ("b", "b"),
        "plain/.sourceignore": "left.yaml\n",
        "plain/left.yaml": CM % ("left", "out"),
        "linked/kustomization.yaml": "resources: [link.yaml]\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "linked/link.yaml").symlink_to("/etc/passwd")
    return root


def build(source: Path, where: str, *more: str, **spec: Any) -> Result:
    """The command in this process; `spec` is written to the Kustomization's file."""
    whole = {"interval": "1m", "prune": True, "path": f"./{where}", "sourceRef": {"kind": "GitRepository", "name": "r"}}
    obj = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "ks"}}
    file = source.parent / "ks.yaml"
    file.write_text("---\nkind: Other\n---\n" + json.dumps({**obj, "spec": {**whole, **spec}}))
    words = (
        "build",
        "kustomization",
        "ks",
        "--path",
        str(source / where),
        "--kustomization-file",
        str(file),
        "--dry-run",
    )
    return CliRunner().invoke(app, [*words, *more])


def names(ran: Result) -> list[str]:
    """Of the objects that were printed."""
    assert ran.exception is None, ran.exception
    return [obj["metadata"]["name"] for obj in yaml.safe_load_all(ran.stdout)]


def test_the_root_is_found_above_the_path(source: Path) -> None:
    """The part of --path that spec.path names is inside of the source, so a base beside it is found."""
    assert names(build(source, "clusters/one")) == ["a"]


def test_another_directory_belongs_to_its_git_work_tree(source: Path) -> None:
    """Where --path is not spec.path, the root is where Git's is; without any it is the directory itself."""
    ran = build(source, "clusters/one", path="./elsewhere")
    assert isinstance(ran.exception, BuildFailed)
    assert "outside of the source" in ran.exception.message
    (source / ".git").mkdir()
    assert names(build(source, "clusters/one", path="./elsewhere")) == ["a"]


def test_what_a_source_leaves_out_is_left_out(source: Path) -> None:
    """.sourceignore and --ignore-paths count, as they would in an artifact."""
    assert names(build(source, "plain")) == ["b"]
    assert names(build(source, "plain", "--ignore-paths", "*.yaml")) == []


def test_spec_fields_and_variables_take_part(source: Path) -> None:
    """targetNamespace, commonMetadata and substitute, all from the file."""
    spec = {"targetNamespace": "n", "commonMetadata": {"labels": {"a": "b"}}, "postBuild": {"substitute": {"v": "w"}}}
    (obj,) = yaml.safe_load_all(build(source, "clusters/one", **spec).stdout)
    assert (obj["data"], obj["metadata"]["namespace"], obj["metadata"]["labels"]["a"]) == ({"x": "w"}, "n", "b")


def test_offline_variables_of_the_cluster_may_be_missing(source: Path) -> None:
    """They are empty and said to be, unless --strict-substitute; without substituteFrom nothing is relaxed."""
    (source / "base/a.yaml").write_text(CM % ("a", "${nobody}y"))
    post = {"substituteFrom": [{"kind": "Secret", "name": "s"}], "substitute": {"v": "w"}}
    ran = build(source, "clusters/one", postBuild=post)
    assert names(ran) == ["a"]
    assert "variables of substituteFrom are empty" in ran.stderr
    for strict in (
        build(source, "clusters/one", "--strict-substitute", postBuild=post),
        build(source, "clusters/one", postBuild={"substitute": {"v": "w"}}),
    ):
        assert isinstance(strict.exception, BuildFailed)
        assert "ConfigMap/a (base/a.yaml): undefined in postBuild: ${nobody}" in strict.exception.message


def test_a_missing_link_is_called_one(source: Path) -> None:
    """The file is there for whoever looks, so the message says why a source does not have it."""
    ran = build(source, "linked")
    assert isinstance(ran.exception, BuildFailed)
    assert (
        "'linked/link.yaml' is not in the source; linked/link.yaml is a symbolic link, which" in ran.exception.message
    )


def test_dry_run_needs_a_file(source: Path) -> None:
    """It asks no cluster, so the Kustomization must come from somewhere."""
    ran = CliRunner().invoke(app, ["build", "ks", "x", "--path", str(source), "--dry-run"])
    assert isinstance(ran.exception, CommandFailed)
    assert "--kustomization-file" in ran.exception.message


def test_a_kustomization_that_the_file_lacks_is_named(source: Path) -> None:
    """By name and namespace."""
    ran = build(source, "plain", "--namespace", "other")
    assert names(ran) == ["b"], "without a namespace of its own it is of the namespace that is asked for"
    (source.parent / "ks.yaml").write_text("kind: Kustomization\nmetadata: {name: ks}\n")
    words = ["build", "ks", "ks", "--path", str(source), "--kustomization-file", str(source.parent / "ks.yaml")]
    missing = CliRunner().invoke(app, [*words, "--dry-run"])
    assert isinstance(missing.exception, CommandFailed)
    assert "has no Kustomization ks of namespace flux-system" in missing.exception.message


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
LAST = {"kubectl.kubernetes.io/last-applied-configuration": '{"data":{"a":"hunter2"}}'}


@pytest.mark.parametrize(
    "obj",
    [
        {**SECRET, "data": {"a": "aHVudGVyMg=="}, "stringData": {"b": "hunter2"}},
        {**SECRET, "metadata": {"name": "s", "annotations": LAST}, "data": None},
        {"kind": "Thing", "spec": {"a": ["ENC[AES256_GCM,data:hunter2]"]}, "sops": {"mac": "ENC[AES256_GCM,hunter2]"}},
    ],
    ids=["secret", "last-applied", "sealed"],
)
def test_nothing_secret_is_printed(obj: dict[str, Any]) -> None:
    """Values of Secrets, kubectl's copy of them, and ciphertexts."""
    text = manifests.text_of(manifests.masked(obj))
    assert "hunter2" not in text
    assert "aHVudGVyMg" not in text
    assert "sops" not in text


ODD = [
    "yes", "y", "NO", "null", "~", "1", "08", "0o17", "1e3", ".5", "-1", "2001-01-01", "1:30", "0x1F", "a\nb\n", "a: b",
    "", " x", "x ", "#x", "'", '"', "é", "\ttab\nline", "true", "=", "<<", "1_000", ".inf", "line\r\nend", "@", "`",
]  # fmt: skip


def test_strings_stay_strings_for_every_reader() -> None:
    """What is printed can be read by Kubernetes' own tools and is the same again."""
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odd"}, "data": {}}
    obj["data"] = {f"k{n}": text for n, text in enumerate(ODD)}
    assert read_objects(manifests.text_of(obj)) == [obj]


CHILD = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: %s, namespace: flux-system}
spec:
  path: ./%s
  prune: true
  interval: 1m
  sourceRef: {kind: GitRepository, name: %s}
  postBuild: {substituteFrom: [{kind: ConfigMap, name: vars}, {kind: Secret, name: more}]}
"""


@pytest.fixture
def fleet(source: Path) -> Path:
    """A directory that brings variables and Kustomizations, of its own source and of another one, one with a child."""
    more = (
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: more, namespace: flux-system}\nstringData: {w: secret}\n"
    )
    variables = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: vars, namespace: flux-system}\ndata: {v: brought}\n"
    for name, text in {
        "source/fleet/vars.yaml": variables + more,
        "source/fleet/children.yaml": CHILD % ("near", "near", "r") + "---\n" + CHILD % ("far", "apps", "other"),
        "source/near/child.yaml": CHILD % ("below", "base", "r") + "---\n" + CHILD % ("near", "near", "r"),
        "other/apps/c.yaml": CM % ("c", "${v} ${w}"),
    }.items():
        file = source.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return source


def test_recursion_builds_what_the_objects_bring(fleet: Path) -> None:
    """Each Kustomization once, with the variables that were built on the way; further sources are named."""
    ran = build(fleet, "fleet", "-r", "--local-sources", f"GitRepository/flux-system/other={fleet.parent / 'other'}")
    by_name = {obj["metadata"]["name"]: obj for obj in yaml.safe_load_all(ran.stdout)}
    assert list(by_name) == ["near", "far", "vars", "more", "below", "c", "a"]
    assert (by_name["c"]["data"], by_name["a"]["data"]) == ({"x": "brought secret"}, {"x": "brought"})
    owner = by_name["a"]["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"]
    assert owner == "below"


def test_a_source_that_is_elsewhere_is_told(fleet: Path) -> None:
    """What it would bring is left out, and the option that changes it named."""
    ran = build(fleet, "fleet", "--recursive")
    assert "c" not in names(ran)
    said = "Kustomization/flux-system/far is left out: its source is not on this machine; add --local-sources"
    assert f"{said} GitRepository/flux-system/other=DIRECTORY" in " ".join(ran.stderr.split())


def test_a_child_that_cannot_be_built_is_named(fleet: Path) -> None:
    """The error is its own."""
    (fleet / "near/kustomization.yaml").write_text("resources: [missing.yaml]\n")
    ran = build(fleet, "fleet", "-r")
    assert isinstance(ran.exception, CommandFailed)
    assert ran.exception.message.startswith("Kustomization/flux-system/near: ")
    assert "missing.yaml" in ran.exception.message


@pytest.mark.parametrize("word", ["x", "GitRepository/r=/tmp", "GitRepository/flux-system/r=/nonexistent"])
def test_local_sources_of_another_form(fleet: Path, word: str) -> None:
    """The option is named."""
    ran = build(fleet, "fleet", "-r", "--local-sources", word)
    assert ran.exit_code == 2
    assert "--local-sources" in ran.stderr
