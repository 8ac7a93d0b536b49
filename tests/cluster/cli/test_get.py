"""`fleetbeat get` on a real API server."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import yaml

from tests.cluster.cli.conftest import KUSTOMIZATIONS, SHA, SOURCES, Command, Objects
from tests.support.wait import until
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster


@pytest.fixture
def two(objects: Objects) -> Objects:
    """A repository, a ready Kustomization and a failed one."""
    objects.git_repository("repo")
    objects.kustomization("apps")
    objects.kustomization("infra")
    revision = f"main@sha1:{SHA}"
    objects.report(
        KUSTOMIZATIONS,
        "apps",
        "True",
        "ReconciliationSucceeded",
        f"Applied revision: {revision}",
        lastAppliedRevision=revision,
    )
    objects.report(KUSTOMIZATIONS, "infra", "False", "BuildFailed", "no such file: a.yaml")
    return objects


def test_a_kind_is_a_table(two: Objects, fleetbeat: Command) -> None:
    """Columns and words are those of flux."""
    ran = fleetbeat("get", "ks")
    assert ran.lines == [
        "NAME    REVISION             SUSPENDED   READY   MESSAGE",
        "apps    main@sha1:01234567   False       True    Applied revision: main@sha1:01234567",
        "infra                        False       False   no such file: a.yaml",
    ]


def test_everything_is_a_block_per_kind(two: Objects, fleetbeat: Command) -> None:
    """`get` and `get all` show what exists, names prefixed with their kind."""
    ran = fleetbeat("get")
    assert ran.out == fleetbeat("get", "all").out
    assert [line.split()[0] for line in ran.lines if line] == [
        "NAME", "gitrepository/repo", "NAME", "kustomization/apps", "kustomization/infra",
    ]  # fmt: skip


def test_data_is_what_the_api_holds(two: Objects, fleetbeat: Command) -> None:
    """-o json and yaml give lists for kinds and the object for a name."""
    listed = json.loads(fleetbeat("get", "ks", "-o", "json").out)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["apps", "infra"]
    assert {item["kind"] for item in listed["items"]} == {"Kustomization"}
    assert yaml.safe_load(fleetbeat("get", "ks/apps", "-o", "yaml").out)["metadata"]["name"] == "apps"


def test_all_namespaces_and_labels(two: Objects, fleetbeat: Command) -> None:
    """-A shows namespaces; a selector that matches nothing says so and is not an error."""
    line = next(line for line in fleetbeat("get", "ks", "-A", "-o", "wide").lines if line.startswith(two.namespace))
    assert line.split()[:2] == [two.namespace, "apps"]
    assert "GitRepository/repo ./" in line
    nothing = fleetbeat("get", "ks", "-l", "team=none")
    assert (nothing.code, nothing.out) == (0, "")
    assert "There is no Kustomization" in nothing.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["get", "ks", "absent"], "there is no Kustomization/"),
        (["get", "kss"], "there is no kind 'kss'"),
        (["get", "ks", "-o", "xml"], "-o xml is not one of"),
        (["get", "ks", "--context", "nope"], "nope"),
        (["get", "ks", "--kubeconfig", "/nowhere"], "/nowhere does not exist"),
        (["tree", "gitrepo/repo"], "has no tree"),
        (["reconcile", "ks/absent"], "there is no Kustomization/"),
        (["explain", "ks"], "name exactly one object"),
    ],
)
def test_errors_are_one_line(fleetbeat: Command, words: list[str], says: str) -> None:
    """What is wrong and what to do, exit code 1, no traceback."""
    ran = fleetbeat(*words)
    assert ran.code == 1
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_server_that_does_not_answer_is_named(fleetbeat: Command, cluster: Cluster, tmp_path: Path) -> None:
    """The address is in the message."""
    config = cluster.user_kubeconfig("admin")
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    ran = fleetbeat("get", "ks", "--kubeconfig", str(tmp_path / "config"))
    assert ran.code == 1
    assert "127.0.0.1:1" in ran.err


def test_watch_prints_a_line_per_change_into_a_pipe(two: Objects, fleetbeat: Command) -> None:
    """The table first, then each row as it changes; ends quietly when interrupted."""
    with fleetbeat.running("get", "ks", "--watch") as process:
        lines = _collect(process)
        try:
            until(lambda: len(lines) >= 3, timeout=60, message="the table")
            two.report(KUSTOMIZATIONS, "infra", "True", "ReconciliationSucceeded", "now it is fine")
            until(lambda: "now it is fine" in lines[-1], timeout=60, message="the change")
            two.report(
                KUSTOMIZATIONS, "infra", "True", "ReconciliationSucceeded", "now it is fine", lastAttemptedRevision="x"
            )
            two.kustomization("third")
            until(lambda: lines[-1].startswith("third"), timeout=60, message="the new object")
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert len(lines) == 5  # a change that does not show prints nothing


def test_sources_show_their_artifact(two: Objects, fleetbeat: Command) -> None:
    """REVISION of a source is its artifact's."""
    artifact = {
        "path": "p",
        "url": "http://a/b",
        "digest": "sha256:" + "0" * 64,
        "lastUpdateTime": "2026-01-01T00:00:00Z",
    }
    two.report(SOURCES, "repo", "True", "Succeeded", "stored", artifact={**artifact, "revision": f"main@sha1:{SHA}"})
    assert fleetbeat("get", "sources", "git").lines[1].split() == [
        "repo",
        "main@sha1:01234567",
        "False",
        "True",
        "stored",
    ]


def _collect(process: subprocess.Popen[str]) -> list[str]:
    lines: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))

    threading.Thread(target=read, daemon=True).start()
    return lines
