"""Sweeps of OCIRepositories: one look at a registry for all that may share it, and a run for each that must tell."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile import ocirepository, sourcesweep
from fleetbeat.reconcile.context import Context
from fleetbeat.sources.oci.manifest import OCI_MANIFEST
from fleetbeat.sources.oci.reference import digest_of
from fleetbeat.state.shards import SOURCE
from tests.support import oci
from tests.support.fakeregistry import FakeRegistry, Reply, Request
from tests.support.runs import Runs
from tests.support.wait import until
from tests.support.wake import wake
from tools.registry import RegistryServer

pytestmark = pytest.mark.cluster

PASSWORDS = {"good": "hunter2", "twin": "hunter2", "other": "hunter3"}


class Scripted:
    """A registry with one tag that logs which accounts asked."""

    def __init__(self, fake: FakeRegistry) -> None:
        self.fake = fake
        self.layer = oci.archive({"a.yaml": "a: 1\n"})
        self.move("first")
        fake.on(f"/v2/org/app/blobs/{self.layer.digest}", Reply(200, {}, self.layer.file.read()))

    def move(self, note: str) -> str:
        """Another manifest for the tag latest; returns its digest."""
        layer = {"mediaType": "x", "digest": self.layer.digest, "size": self.layer.size}
        body = json.dumps({"schemaVersion": 2, "layers": [layer], "annotations": {"note": note}}).encode()
        digest = digest_of(body)

        def guarded(request: Request) -> Reply:
            if "authorization" not in request.headers:
                return Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})
            return Reply(200, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest}, body)

        for reference in ("latest", digest):
            self.fake.on(f"/v2/org/app/manifests/{reference}", guarded)
        return digest

    def looks(self) -> int:
        """Manifests that were asked for with an account, since the last call."""
        found = sum(r.method == "HEAD" and "authorization" in r.headers for r in self.fake.seen)
        self.fake.seen.clear()
        return found


@pytest.fixture
def upstream() -> Iterator[Scripted]:
    """It asks for some password."""
    with FakeRegistry() as fake:
        yield Scripted(fake)


@pytest.fixture
def runs(ctx: Context, client: KubeClient, namespace: str) -> Runs:
    """No OCIRepository yet."""
    return Runs(ctx, client, namespace, {"OCIRepository": ocirepository.PIPELINE})


def put(runs: Runs, upstream: Scripted, name: str, secret: str = "good", **spec: Any) -> None:
    """An OCIRepository with an account, due every second."""
    auth = base64.b64encode(f"robot:{PASSWORDS[secret]}".encode()).decode()
    runs.secret(secret, _dockerconfigjson=json.dumps({"auths": {upstream.fake.host: {"auth": auth}}}))
    usual = {"url": f"oci://{upstream.fake.host}/org/app", "insecure": True, "secretRef": {"name": secret}}
    runs.put("OCIRepository", name, **{**usual, "interval": "1s", **spec})


def sweep(runs: Runs) -> sourcesweep.Polled:
    """Wait until all are due, claim one sweep of all and carry it out."""
    until(lambda: _due(runs) == len(runs.objects), message="all are due")
    claimed = runs.state.claim(SOURCE)
    assert claimed.runs == []
    (found,) = claimed.sweeps
    return sourcesweep.sweep(runs.ctx, SOURCE, found.fence, found.refs)


def _due(runs: Runs) -> int:
    return next(depth.due for depth in runs.state.depths() if depth.shard == SOURCE)


def test_one_look_serves_all_of_a_tag_and_equal_accounts(runs: Runs, upstream: Scripted) -> None:
    """Two Secrets of one content share it; another account asks for itself; nothing is written."""
    for number in range(20):
        put(runs, upstream, f"s{number}", ("good", "twin")[number % 2])
    put(runs, upstream, "alone", "other")
    runs.run()
    upstream.looks()
    before = {name: runs.status(name) for name in runs.objects}
    polled = sweep(runs)
    assert (polled.unchanged, polled.asked, polled.poked) == (21, 2, ())
    assert upstream.looks() == 2
    assert {name: runs.status(name) for name in runs.objects} == before


def test_moved_tag_gets_each_source_a_run(runs: Runs, upstream: Scripted) -> None:
    """The run tells, with the new digest."""
    put(runs, upstream, "a")
    put(runs, upstream, "b")
    runs.run()
    digest = upstream.move("second")
    assert set(sweep(runs).poked) == {runs.ref("a"), runs.ref("b")}
    assert set(runs.run()) == {"a", "b"}
    assert {runs.published(name)["revision"] for name in ("a", "b")} == {f"latest@{digest}"}


def test_runs_that_were_woken_together_share_a_look(runs: Runs, upstream: Scripted) -> None:
    """One look for an account and one manifest, however many follow the tag; who is woken later looks again."""
    for number in range(12):
        put(runs, upstream, f"s{number}", ("good", "twin")[number % 2])
    put(runs, upstream, "alone", "other")
    runs.run()
    upstream.looks()
    digest = upstream.move("second")
    for _ in range(2):
        wake(runs.state, [runs.ref(name) for name in runs.objects])
        assert len(runs.run()) == 13
        manifests = [seen for seen in upstream.fake.seen if "manifests" in seen.path and seen.method == "GET"]
        assert len([seen for seen in manifests if "authorization" in seen.headers]) <= 2
        assert upstream.looks() == 2
        assert {runs.published(name)["revision"] for name in runs.objects} == {f"latest@{digest}"}
        digest = upstream.move("third")


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_registry_that_refuses_gets_each_source_a_run(runs: Runs, upstream: Scripted, status: int) -> None:
    """Which fails with its own words and keeps its artifact."""
    put(runs, upstream, "a")
    runs.run()
    before = runs.published("a")
    upstream.fake.on("/v2/org/app/manifests/latest", Reply(status))
    assert sweep(runs).poked == (runs.ref("a"),)
    runs.run()
    assert runs.condition("a")["status"] == "False"
    assert runs.published("a") == before


def test_lost_secret_gets_a_run(runs: Runs, client: KubeClient, upstream: Scripted) -> None:
    """An account that is gone opens nothing any more, whatever others may see."""
    put(runs, upstream, "a", "good")
    put(runs, upstream, "b", "twin")
    runs.run()
    client.delete(f"/api/v1/namespaces/{runs.namespace}/secrets/twin")
    polled = sweep(runs)
    assert (polled.unchanged, polled.poked) == (1, (runs.ref("b"),))
    runs.run()
    assert runs.failure("b")[0] == "AuthenticationFailed"


def test_ranges_and_digests_are_looked_at_as_well(runs: Runs, tmp_path: Path) -> None:
    """Against a real registry: each reference costs one look, and a new version in the range a run."""
    with RegistryServer(tmp_path) as server:
        digest = oci.push(server, "org/app", "1.0.0", {"a": "1"})
        usual = {"url": f"oci://{server.host}/org/app", "insecure": True, "interval": "1s"}
        refs = {
            "range": {"semver": "1.x"},
            "again": {"semver": "1.x"},
            "tag": {"tag": "1.0.0"},
            "fixed": {"digest": digest},
        }
        for name, ref in refs.items():
            runs.put("OCIRepository", name, ref=ref, **usual)
        runs.run()
        polled = sweep(runs)
        assert (polled.unchanged, polled.asked) == (4, 3)
        oci.push(server, "org/app", "1.1.0", {"a": "2"})
        assert set(sweep(runs).poked) == {runs.ref("range"), runs.ref("again")}
