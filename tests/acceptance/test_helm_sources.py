"""Charts as users have them: repositories, HelmRepositories and HelmCharts, through every role and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
import yaml

from fleetbeat.api.kinds import KINDS
from tests.support.fleet import NAMESPACE, Fleet
from tools.chartserver import ChartServer, helm, write_chart
from tools.gitserver import Access

pytestmark = pytest.mark.acceptance


@pytest.fixture
def charts(tmp_path: Path) -> Iterator[ChartServer]:
    """A chart repository with app 1.0.0."""
    with ChartServer(tmp_path / "charts") as server:
        server.add("app", "1.0.0", {"red.yaml": "colour: red\n"})
        yield server


def chart(fleet: Fleet, name: str, source: str, kind: str = "HelmRepository", **spec: object) -> None:
    """A HelmChart of the chart `app`."""
    base = {"chart": "app", "interval": "10m", "sourceRef": {"kind": kind, "name": source}}
    fleet.resource("HelmChart", name, {**base, **spec})


def download(url: str) -> bytes:
    """What a consumer gets."""
    answer = urllib3.request("GET", url, timeout=10, retries=2)
    assert answer.status == 200, (url, answer.status)
    return answer.data


def test_a_chart_becomes_ready_and_follows_its_repository(fleet: Fleet, charts: ChartServer, tmp_path: Path) -> None:
    """Both objects are Ready, the stable links serve index and package, and a new version arrives by one request."""
    charts.access = Access(basic=("me", "right"))
    fleet.secret("charts-login", username="me", password="wrong")
    fleet.resource("HelmRepository", "charts", {"url": charts.url, "secretRef": {"name": "charts-login"}})
    chart(fleet, "app", "charts", version="1.x", valuesFiles=["values.yaml", "red.yaml"])
    failed = fleet.wait_failed("HelmRepository", "charts", "AuthenticationFailed")
    assert "wrong" not in failed["message"]
    fleet.secret("charts-login", username="me", password="right")
    status = fleet.wait_ready("HelmChart", "app", "1.0.0+1")["status"]
    assert status["observedChartName"] == "app"
    index = fleet.wait_ready("HelmRepository", "charts")["status"]["url"]
    assert list(json.loads(download(index))["entries"]) == ["app"]
    package = tmp_path / "app.tgz"
    package.write_bytes(download(status["url"]))
    assert download(status["artifact"]["url"]) == package.read_bytes()
    values = yaml.safe_load(helm("template", "x", str(package)))["data"]["values"]
    assert json.loads(values) == {"colour": "red"}
    charts.add("app", "1.1.0", {"red.yaml": "colour: red\n"})
    assert "stored" in fleet.command("reconcile", "source", "helm", "charts")
    fleet.wait_ready("HelmChart", "app", "1.1.0+1")
    assert "1.1.0+1" in fleet.command("get", "sources", "chart", "app")
    fleet.command("suspend", "source", "chart", "app")
    fleet.command("resume", "source", "chart", "app")


def test_a_registry_is_ready_by_existing(fleet: Fleet, charts: ChartServer) -> None:
    """No status, no finalizer; it becomes a repository with an index and back, and leaves nothing behind."""
    fleet.resource("HelmRepository", "both", {"type": "oci", "url": "oci://registry.example.com/charts"})
    row = fleet.command("get", "sources", "helm", "both").splitlines()[-1]
    assert row.split()[:3] == ["both", "False", "True"]
    assert "registry" in fleet.command("reconcile", "source", "helm", "both")
    fleet.resource("HelmRepository", "both", {"type": "default", "url": charts.url})
    url = fleet.wait_ready("HelmRepository", "both")["status"]["url"]
    download(url)
    fleet.resource("HelmRepository", "both", {"type": "oci", "url": "oci://registry.example.com/charts"})

    def released() -> bool:
        found = fleet.get("HelmRepository", "both")
        return not found.get("status") and not found["metadata"].get("finalizers")

    fleet.until(released, "HelmRepository/both is released")
    assert urllib3.request("GET", url, timeout=10, retries=2).status == 404
    fleet.hub.api("DELETE", KINDS["HelmRepository"].path(NAMESPACE, "both"))


def test_a_chart_from_git_follows_its_commits(fleet: Fleet, tmp_path: Path) -> None:
    """The version names the commit, and deleting the objects leaves nothing in the way."""
    source = write_chart(tmp_path / "app", "app", "0.1.0")
    files = {f"app/{file.relative_to(source)}": file.read_text() for file in source.rglob("*") if file.is_file()}
    repo = fleet.repository("helm-git", files)
    chart(fleet, "from-git", "helm-git", "GitRepository", chart="app", reconcileStrategy="Revision")
    fleet.wait_ready("HelmChart", "from-git", f"0.1.0+{repo.head()[:12]}")
    head = fleet.push(repo, "helm-git", {"app/values.yaml": "colour: green\n"})
    fleet.wait_ready("HelmChart", "from-git", f"0.1.0+{head[:12]}")
    fleet.push(repo, "helm-git", {"app/Chart.yaml": None})
    fleet.wait_failed("HelmChart", "from-git", "InvalidChartReference")
    assert fleet.condition("HelmChart", "from-git", "BuildFailed")["status"] == "True"
    fleet.delete("HelmChart", "from-git")
    path = KINDS["HelmChart"].path(NAMESPACE)
    fleet.until(lambda: "from-git" not in str(fleet.hub.api("GET", path)), "HelmChart gone")
