"""Kustomizations of artifacts that another controller made and serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fleetbeat.artifacts import record
from fleetbeat.artifacts.store import Source
from fleetbeat.state import REGISTRAR
from tests.support.deployed import Deployed
from tests.support.servedfiles import FileServer

pytestmark = pytest.mark.cluster


@pytest.fixture
def server() -> Iterator[FileServer]:
    """source-controller's, say."""
    with FileServer() as running:
        yield running


def config_map(colour: str) -> dict[str, str]:
    """The files of an artifact."""
    meta = {"name": "app"}
    return {
        "app/a.yaml": json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"c": colour}})
    }


class Others:
    """A source of another controller, as the registrar tells of it, and the Kustomization `app` of it."""

    def __init__(self, deployed: Deployed, server: FileServer, kind: str) -> None:
        self.deployed, self.server = deployed, server
        self.source = Source(kind, deployed.namespace, "theirs", "uid-theirs")
        self.ref = f"{kind}/{deployed.namespace}/theirs"
        fence = deployed.state.command("HGET", f"fb:lease:{REGISTRAR}", "fence")
        self._fence = int(fence)
        reference = {"kind": kind, "name": "theirs"}
        deployed.put("app", sourceRef=reference, targetNamespace=deployed.namespace)

    def offer(self, revision: str, colour: str, algorithm: str = "sha256", **fields: Any) -> dict[str, Any]:
        """Its status has a new artifact; returns that."""
        path = f"{self.source.path}/{revision.rpartition(':')[2]}+x:y.tar.gz"
        artifact = {**self.server.archive(path, revision, config_map(colour), algorithm), **fields}
        self.tell(artifact)
        return artifact

    def tell(self, artifact: dict[str, Any]) -> None:
        """What the registrar does."""
        encoded = record.encode(self.deployed.ctx.store, self.source, artifact)
        self.deployed.state.offer(self.ref, encoded, self._fence)
        self.deployed.state.poke_dependents(self.ref, "changed", urgent=True)

    def run(self) -> dict[str, Any]:
        """Run what is due; returns the condition Ready."""
        for run in self.deployed.claim().runs:
            try:
                self.deployed.run(run)
            except Exception as error:
                assert type(error).__module__.startswith("fleetbeat"), error
        return self.deployed.condition("app")

    @property
    def colour(self) -> str:
        """What the cluster has."""
        path = f"/api/v1/namespaces/{self.deployed.namespace}/configmaps/app"
        return str(self.deployed.client.get(path)["data"]["c"])


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", ["GitRepository", "ExternalArtifact"])
def test_it_is_downloaded_once_and_applied(deployed: Deployed, server: FileServer, kind: str, algorithm: str) -> None:
    """From its URL, verified, and kept by its digest; the next revision is another download."""
    others = Others(deployed, server, kind)
    artifact = others.offer("main@sha1:11", "blue", algorithm)
    assert others.run()["status"] == "True"
    assert others.colour == "blue"
    assert deployed.status("app")["lastAppliedRevision"] == "main@sha1:11"
    deployed.edit("app", prune=False)
    others.run()
    assert server.requests == [f"/{artifact['path']}"]
    others.offer("main@sha1:22", "red", algorithm, lastUpdateTime="2026-01-01T00:00:09Z")
    assert others.run()["status"] == "True"
    assert others.colour == "red"
    assert len(server.requests) == 2


def test_a_missing_file_is_waited_for_without_alarm(deployed: Deployed, server: FileServer) -> None:
    """404 means that it is being replaced: told once, no failure, and looked for again in half a minute."""
    others = Others(deployed, server, "GitRepository")
    artifact = others.offer("main@sha1:11", "blue")
    content = server.files.pop(f"/{artifact['path']}")
    ready = others.run()
    assert (ready["status"], ready["reason"]) == ("False", "ArtifactFailed")
    seen = deployed.state.inspect(deployed.ref("app"))
    assert seen is not None
    assert 25_000 < (seen.due or 0) - seen.now <= 30_000
    assert [event.get("type", "Normal") for event in deployed.events()] == ["Normal"]
    server.files[f"/{artifact['path']}"] = content
    others.tell(artifact)
    assert others.run()["status"] == "True"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"digest": "sha256:" + "00" * 32}, "its record says sha256:0000"),
        ({"digest": "blake3:" + "00" * 32}, "use sha256, sha384 or sha512"),
        ({"size": 10}, "more than the 10 bytes"),
        ({"url": "file:///etc/passwd"}, "not an http"),
    ],
)
def test_what_is_not_as_the_status_says_is_not_applied(
    deployed: Deployed, server: FileServer, fields: dict[str, Any], message: str
) -> None:
    """The last good one stays."""
    others = Others(deployed, server, "ExternalArtifact")
    others.offer("a@sha1:11", "blue")
    others.run()
    others.offer("a@sha1:22", "red", **fields)
    ready = others.run()
    assert (ready["status"], ready["reason"]) == ("False", "ArtifactFailed")
    assert message in ready["message"]
    assert others.colour == "blue"


def test_fluxs_artifacts_never_go_back_in_time(deployed: Deployed, server: FileServer) -> None:
    """A hub that was restored offers an old one again; clocks of two leaders may differ, though."""
    others = Others(deployed, server, "GitRepository")
    others.offer("main@sha1:22", "red", lastUpdateTime="2026-01-01T12:00:00Z")
    others.run()
    others.offer("main@sha1:11", "blue", lastUpdateTime="2026-01-01T11:00:00Z")
    ready = others.run()
    assert "is older than the applied main@sha1:22" in ready["message"]
    assert others.colour == "red"
    others.offer("main@sha1:33", "green", lastUpdateTime="2026-01-01T11:58:00Z")
    assert others.run()["status"] == "True"
    assert others.colour == "green"


def test_an_external_artifact_is_what_its_status_says(deployed: Deployed, server: FileServer) -> None:
    """Its maker may put any time there, such as that of the commit it returns to."""
    others = Others(deployed, server, "ExternalArtifact")
    others.offer("a@sha1:22", "red", lastUpdateTime="2026-01-01T12:00:00Z")
    others.run()
    others.offer("a@sha1:11", "blue", lastUpdateTime="2020-01-01T11:00:00Z")
    assert others.run()["status"] == "True"
    assert others.colour == "blue"


def test_a_source_changes_hands_in_both_directions(deployed: Deployed, server: FileServer) -> None:
    """Ours and theirs are never compared, whatever fences and clocks say."""
    others = Others(deployed, server, "GitRepository")
    others.offer("main@sha1:11", "blue", lastUpdateTime="2126-01-01T12:00:00Z")
    others.run()
    deployed.publish("main@sha1:22", config_map("red"))
    ours = json.loads(deployed.state.artifact(f"GitRepository/{deployed.namespace}/repo") or b"")
    theirs = deployed.state.artifact(others.ref)
    assert deployed.state.publish_artifact(others.ref, json.dumps(ours | {"uid": others.source.uid}).encode())
    deployed.state.poke_dependents(others.ref, "ours now", urgent=True)
    assert others.run()["status"] == "True"
    assert others.colour == "red"
    others.tell(json.loads(theirs or b""))
    assert others.run()["status"] == "True"
    assert others.colour == "blue"


def test_a_source_that_is_not_there_is_said(deployed: Deployed, server: FileServer) -> None:
    """With what this installation does about such kinds; it is looked for again soon."""
    others = Others(deployed, server, "ExternalArtifact")
    ready = others.run()
    assert (ready["status"], ready["reason"]) == ("False", "ArtifactFailed")
    assert "does not exist or its status has no artifact" in ready["message"]
