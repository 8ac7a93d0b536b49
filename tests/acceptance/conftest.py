"""The whole system as processes, shared by the tests of a module: two clusters, Git, Redis, S3 and every role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tools.clusters import ClusterSet
from tools.gitserver import GitServer
from workers.cli.connect import Access
from workers.stack import Stack
from workers.up import prepare


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A running Fleetbeat with the clusters `hub` and `edge`, and nothing applied yet.

    A module may ask for more than one of a role: `COPIES = {role: number}`.
    """
    directory: Path = tmp_path_factory.mktemp("fleet")
    with ClusterSet("hub", "edge", audit=True) as clusters, GitServer(directory / "git") as git:
        prepare(Access(clusters["hub"].kubeconfig, None, "flux-system"))
        stack = Stack(directory / "stack", clusters["hub"].kubeconfig, copies=getattr(request.module, "COPIES", {}))
        stack.start()
        fleet = Fleet(clusters, git, stack)
        try:
            fleet.connect("edge")
            yield fleet
            assert [end for end in stack.ended if end[1] < 0] == [], "a process crashed"
        finally:
            stack.stop()
