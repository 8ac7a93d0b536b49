"""`fleetbeat up` on the user's own cluster and repository: one command, and the repository is applied."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from tests.support.fleet import config_map
from tests.support.wait import until
from tools.clusters import ClusterSet
from tools.gitserver import GitServer
from workers.embedded import ports

pytestmark = pytest.mark.acceptance


def test_up_installs_follows_the_repository_and_ends_cleanly(tmp_path: Path) -> None:
    """The API is installed, the commit applied, Flower answers, and Ctrl-C leaves no process behind."""
    flower, web = ports.reserve(), ports.reserve()
    with ClusterSet("mine") as clusters, GitServer(tmp_path / "git") as git:
        repo = git.create("mine")
        repo.commit({"app/map.yaml": config_map("from-up", colour="blue")}, "first")
        mine = clusters["mine"]
        options = ["--git", repo.url, "--path", "./app", "--kubeconfig", str(mine.kubeconfig)]
        options += ["--flower-port", str(flower), "--web-port", str(web), "--data", str(tmp_path / "data")]
        with (tmp_path / "up.log").open("wb") as log:
            command = [sys.executable, "-m", "workers.cli.main", "up", *options]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            applied = "/api/v1/namespaces/default/configmaps/from-up"
            until(
                lambda: mine._client.exists(applied) or process.poll() is not None,
                timeout=120,
                message=(tmp_path / "up.log").read_text(),
            )
            assert process.poll() is None, (tmp_path / "up.log").read_text()
            until(lambda: _answers(f"http://127.0.0.1:{flower}/"), timeout=60, message="Flower")
            told = (tmp_path / "up.log").read_text
            line = re.compile(r"Kustomization/flux-system/\S+: Ready main@sha1:")
            until(lambda: line.search(told()), timeout=60, message="the run in the log")
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, (tmp_path / "up.log").read_text()
    text = (tmp_path / "up.log").read_text()
    assert "Traceback" not in text


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, timeout=2.0, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
