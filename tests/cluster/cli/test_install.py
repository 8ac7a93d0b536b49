"""`fleetbeat install` on a real API server."""

from __future__ import annotations

import pytest

from fleetbeat.api.kinds import KINDS
from tests.cluster.cli.conftest import Command, Ran
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def test_every_kind_is_served_and_a_second_install_changes_nothing(fleetbeat: Command, cluster: Cluster) -> None:
    """After install each kind can be listed; install again reports each definition as unchanged."""
    for kind in KINDS.values():
        assert cluster.api("GET", kind.path())["kind"] == f"{kind.name}List"
    again = fleetbeat("install")
    assert again.code == 0
    assert [line.split()[-1] for line in again.lines if "toolkit.fluxcd.io" in line] == ["unchanged"] * (len(KINDS) - 1)


def test_definitions_of_another_tool_are_kept(fleetbeat: Command, cluster: Cluster) -> None:
    """A definition without our manager stays as it is until --force."""
    path = f"{CRDS}/{KINDS['Bucket'].plural}.{KINDS['Bucket'].group}"
    managers = [{**entry, "manager": "flux"} for entry in cluster.api("GET", path)["metadata"]["managedFields"]]
    patch = {"metadata": {"managedFields": managers}}
    cluster.api("PATCH", path, patch, "application/merge-patch+json")
    before = cluster.api("GET", path)["metadata"]["resourceVersion"]
    kept = fleetbeat("install")
    assert kept.code == 0
    assert bucket_line(kept).startswith("kept: another tool manages it")
    assert cluster.api("GET", path)["metadata"]["resourceVersion"] == before
    assert bucket_line(fleetbeat("install", "--force")) == "configured"


def bucket_line(ran: Ran) -> str:
    """What install says of the Bucket definition."""
    name = "buckets.source.toolkit.fluxcd.io"
    return next(line.partition(name)[2].strip() for line in ran.lines if name in line)


def test_an_account_that_may_not_is_told_so(
    fleetbeat: Command, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A forbidden install ends with one line and exit code 1."""
    import yaml

    file = tmp_path_factory.mktemp("user") / "kubeconfig"
    file.write_text(yaml.safe_dump(cluster.user_kubeconfig("nobody-in-particular")))
    ran = fleetbeat("install", "--kubeconfig", str(file))
    assert ran.code == 1
    assert "nobody-in-particular" in ran.err
    assert "Traceback" not in ran.err
    assert len(ran.err.splitlines()) == 1
