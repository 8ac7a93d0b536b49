"""Webhooks end to end: a push is announced, and a storm of announcements costs no more than one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from tests.support.fleet import Fleet, config_map

pytestmark = pytest.mark.acceptance

STORM = 1000


def test_a_storm_of_webhooks_makes_one_fetch(fleet: Fleet) -> None:
    """A thousand calls for one push: all are answered at once, the commit is fetched once, the rest are joined."""
    repo = fleet.repository("stormy", {"one.yaml": config_map("stormy", release="1")})
    fleet.kustomization("stormy", "stormy", path="./")
    fleet.secret("stormy-token", token="storm")
    resources = [{"kind": "GitRepository", "name": "stormy"}]
    fleet.resource(
        "Receiver", "stormy", {"type": "generic", "secretRef": {"name": "stormy-token"}, "resources": resources}
    )
    fleet.wait_ready("Kustomization", "stormy")
    path = fleet.until(lambda: fleet.get("Receiver", "stormy")["status"]["webhookPath"], "the Receiver has a path")
    hook = fleet.stack.web_url + path
    fleet.until(lambda: urllib3.request("POST", hook, timeout=30).status == 200, "the web role knows the path")
    before = fleet.git.counts("stormy")
    commit = repo.commit({"one.yaml": config_map("stormy", release="2")})
    with urllib3.PoolManager(maxsize=16) as http, ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: http.request("POST", hook, timeout=30).status, range(STORM))
        assert set(answers) == {200}
    fleet.wait_ready("Kustomization", "stormy", commit)
    spent = fleet.git.counts("stormy") - before
    assert spent["fetch"] == 1
    assert spent.total() < STORM / 5
