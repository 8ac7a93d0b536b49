"""Runs of ArtifactGenerators: sources from the registry, ExternalArtifacts on a real hub, archives in S3."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fleetbeat.api.kinds import KINDS
from fleetbeat.artifacts.store import Source
from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile import artifactgenerator
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.run import execute
from tests.support.hub import install
from tests.support.runs import Runs

pytestmark = pytest.mark.cluster

REPO = {"alias": "repo", "kind": "GitRepository", "name": "mono"}
MONO = {"apps/Shop/a.yaml": "shop", "apps/api/a.yaml": "api", "README.md": "x"}
GENERATOR = "source.extensions.fluxcd.io/generator"
ORIGIN = "org.opencontainers.image.revision"
OUTPUT = KINDS["ExternalArtifact"]
OWN = REPO | {"kind": "ExternalArtifact", "name": "own"}


@dataclass
class Generators:
    """The ArtifactGenerator `gen` and what it makes."""

    runs: Runs

    def put(self, *artifacts: dict[str, Any], sources: tuple[dict[str, Any], ...] = (REPO,), **spec: Any) -> None:
        """Write and register it."""
        kind = KINDS["ArtifactGenerator"]
        meta = {"name": "gen", "namespace": self.runs.namespace}
        body = {"sources": list(sources), "artifacts": list(artifacts), **spec}
        obj = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, "spec": body}
        self.runs.client.apply(kind.path(self.runs.namespace, "gen"), obj, "user")
        self.uid = self.runs.mirror("ArtifactGenerator", "gen")["metadata"]["uid"]

    def output(self, name: str) -> dict[str, Any]:
        """The live ExternalArtifact."""
        return self.runs.client.get(OUTPUT.path(self.runs.namespace, name))

    def names(self) -> list[str]:
        """Of all ExternalArtifacts."""
        items = self.runs.client.list(OUTPUT.path(self.runs.namespace))["items"]
        return sorted(item["metadata"]["name"] for item in items)

    def stored(self, obj: dict[str, Any]) -> list[str]:
        """The digests of its archives in S3."""
        meta = obj["metadata"]
        source = Source("ExternalArtifact", meta["namespace"], meta["name"], meta["uid"])
        return [stored.digest for stored in self.runs.ctx.store.records(source)]

    def files(self, obj: dict[str, Any]) -> set[str]:
        """What is in its archive."""
        meta, artifact = obj["metadata"], obj["status"]["artifact"]
        source = Source("ExternalArtifact", meta["namespace"], meta["name"], meta["uid"])
        store = self.runs.ctx.store
        key = store.key(source, artifact["path"].rpartition("/")[2], artifact["digest"])
        with tarfile.open(store.get(key, artifact["digest"])) as tar:
            return {member.name for member in tar if member.isfile()}


@pytest.fixture
def generators(ctx: Context, client: KubeClient, namespace: str) -> Generators:
    """None yet."""
    for kind in (OUTPUT, KINDS["ArtifactGenerator"]):
        install(client, kind)
    return Generators(Runs(ctx, client, namespace, {"ArtifactGenerator": artifactgenerator.PIPELINE}))


def copy(source: str, to: str = "@artifact/", **more: Any) -> dict[str, Any]:
    """A copy rule."""
    return {"from": source, "to": to, **more}


SPLIT = {"name": "{app}", "originRevision": "@repo", "copy": [copy("@repo/apps/{app}/**")]}


def test_artifacts_are_composed_of_several_sources(generators: Generators) -> None:
    """An ExternalArtifact with owner, labels, status and stable name; the generator's status tells of it."""
    runs = generators.runs
    runs.publish("GitRepository", "mono", "main@sha1:11", MONO)
    runs.publish("Bucket", "env", "sha256:22", {"prod.yaml": "prod"})
    bucket = {"alias": "env", "kind": "Bucket", "name": "env"}
    artifact = {
        "name": "both",
        "copy": [copy("@repo/apps/api/**"), copy("@env/prod.yaml", "@artifact/env.yaml")],
        "originRevision": "@repo",
    }
    common = {"labels": {"team": "a"}, "annotations": {"note": "b"}}
    generators.put(artifact, sources=(REPO, bucket), commonMetadata=common)
    runs.run()
    made = generators.output("both")
    found = made["status"]["artifact"]
    assert found["revision"] == f"latest@{found['digest']}"
    hexadecimal = found["digest"].removeprefix("sha256:")
    assert found["path"] == f"externalartifact/{runs.namespace}/both/{hexadecimal}.tar.gz"
    assert found["url"].endswith(f"/artifacts/{found['path']}")
    assert found["metadata"][ORIGIN] == "main@sha1:11"
    assert made["status"]["conditions"][0]["type"] == "Ready"
    labels = {"team": "a", GENERATOR: generators.uid, "app.kubernetes.io/managed-by": "source-watcher"}
    assert (made["metadata"]["labels"], made["metadata"]["annotations"]) == (labels, {"note": "b"})
    assert made["metadata"]["ownerReferences"][0]["uid"] == generators.uid
    assert made["spec"]["sourceRef"]["name"] == "gen"
    assert generators.files(made) == {"a.yaml", "env.yaml"}
    status = runs.status("gen")
    entry = {"name": "both", "namespace": runs.namespace}
    assert status["inventory"] == [{**entry, "digest": found["digest"], "filename": f"{hexadecimal}.tar.gz"}]
    assert status["observedSourcesDigest"].startswith("sha256:")
    assert runs.condition("gen")["message"] == "reconciliation succeeded, generated 1 artifact(s)"


def test_the_revision_of_a_source_may_be_taken(generators: Generators) -> None:
    """And the origin that a source itself tells, where it does."""
    generators.runs.publish("GitRepository", "mono", "main@sha1:11", MONO, **{ORIGIN: "v1@sha1:99"})
    generators.put({"name": "x", "revision": "@repo", "originRevision": "@repo", "copy": [copy("@repo/README.md")]})
    generators.runs.run()
    artifact = generators.output("x")["status"]["artifact"]
    assert (artifact["revision"], artifact["metadata"][ORIGIN]) == ("main@sha1:11", "v1@sha1:99")


def test_only_directories_that_changed_get_a_new_revision(generators: Generators) -> None:
    """Each directory its own artifact, with its captures as labels; one that goes takes its artifact along."""
    runs = generators.runs
    runs.publish("GitRepository", "mono", "main@sha1:11", MONO)
    generators.put(SPLIT, pathPattern="@repo/apps/{app}")
    runs.run()
    assert generators.names() == ["api", "shop"]
    shop, api = generators.output("shop"), generators.output("api")
    assert shop["metadata"]["labels"]["app"] == "shop"
    runs.publish("GitRepository", "mono", "main@sha1:22", MONO | {"apps/api/a.yaml": "changed"})
    assert runs.run() == {"gen": f"artifact GitRepository/{runs.namespace}/mono"}
    now = generators.output("shop")["status"]["artifact"]
    same = ("revision", "digest", "lastUpdateTime")
    assert [now[field] for field in same] == [shop["status"]["artifact"][field] for field in same]
    assert now["metadata"][ORIGIN] == "main@sha1:22"
    assert generators.output("api")["status"]["artifact"]["revision"] != api["status"]["artifact"]["revision"]
    runs.publish("GitRepository", "mono", "main@sha1:33", {"apps/api/a.yaml": "changed"})
    runs.run()
    assert generators.names() == ["api"]
    assert [entry["name"] for entry in runs.status("gen")["inventory"]] == ["api"]
    assert generators.stored(shop) == []


def test_unchanged_sources_cost_a_look(generators: Generators) -> None:
    """No write to the hub, no archive: the outputs are listed, that is all; also when it was requested."""
    runs = generators.runs
    runs.publish("GitRepository", "mono", "main@sha1:11", MONO)
    generators.put(SPLIT, pathPattern="@repo/apps/{app}")
    runs.run()
    before = [generators.output(name)["metadata"]["resourceVersion"] for name in generators.names()]
    status = runs.status("gen")
    runs.ctx.hub.stats.clear()
    token = runs.request("gen")
    runs.run()
    assert dict(runs.ctx.hub.stats) == {("GET", "externalartifacts"): 1}
    assert [generators.output(name)["metadata"]["resourceVersion"] for name in generators.names()] == before
    assert runs.status("gen") == status | {"lastHandledReconcileAt": token}


@pytest.mark.parametrize("damage", ["object", "status", "archive", "label"])
def test_a_damaged_output_is_made_again(generators: Generators, damage: str) -> None:
    """Deleted, changed by hand, or lost from S3."""
    runs, path = generators.runs, OUTPUT.path(generators.runs.namespace, "x")
    runs.publish("GitRepository", "mono", "main@sha1:11", MONO)
    generators.put({"name": "x", "copy": [copy("@repo/README.md")]}, commonMetadata={"labels": {"team": "a"}})
    runs.run()
    made = generators.output("x")
    artifact = made["status"]["artifact"]
    if damage == "object":
        runs.client.delete(path)
    elif damage == "status":
        runs.client.patch(f"{path}/status", {"status": {"artifact": {"digest": "sha256:00"}}})
    elif damage == "label":
        runs.client.patch(path, {"metadata": {"labels": {GENERATOR: None, "team": "b"}}})
        runs.publish("GitRepository", "mono", "main@sha1:22", MONO)
    else:
        meta = made["metadata"]
        runs.ctx.store.delete_all(Source("ExternalArtifact", meta["namespace"], "x", meta["uid"]))
    runs.state.poke([runs.ref("gen")], "again", urgent=True)
    runs.run()
    found = generators.output("x")
    assert found["status"]["artifact"]["digest"] == artifact["digest"]
    assert generators.stored(found) == [artifact["digest"]]
    assert found["metadata"]["labels"]["team"] == "a"


def test_a_new_spec_makes_new_outputs_and_deletes_the_old(generators: Generators) -> None:
    """What is no longer declared goes with its archives; others' objects stay."""
    runs = generators.runs
    other = {"apiVersion": OUTPUT.api_version, "kind": OUTPUT.name, "metadata": {"name": "other"}, "spec": {}}
    runs.client.create(OUTPUT.path(runs.namespace), other)
    runs.publish("GitRepository", "mono", "main@sha1:11", MONO)
    generators.put({"name": "old", "copy": [copy("@repo/README.md")]})
    runs.run()
    old = generators.output("old")
    generators.put({"name": "new", "copy": [copy("@repo/README.md")]})
    runs.run()
    assert generators.names() == ["new", "other"]
    assert generators.stored(old) == []


def test_a_deleted_generator_takes_its_outputs_along(generators: Generators) -> None:
    """Objects and archives."""
    runs = generators.runs
    runs.publish("GitRepository", "mono", "main@sha1:11", MONO)
    generators.put(SPLIT, pathPattern="@repo/apps/{app}")
    runs.run()
    made = [generators.output(name) for name in generators.names()]
    runs.delete("gen")
    runs.run()
    assert generators.names() == []
    assert [generators.stored(obj) for obj in made] == [[], []]


def test_a_disabled_generator_does_nothing_until_it_is_enabled(generators: Generators) -> None:
    """By annotation; taking it off is enough to run."""
    runs = generators.runs
    runs.publish("GitRepository", "mono", "main@sha1:11", MONO)
    kind = KINDS["ArtifactGenerator"]
    generators.put({"name": "x", "copy": [copy("@repo/README.md")]})
    runs.run()
    key = "source.extensions.fluxcd.io/reconcile"
    path = kind.path(runs.namespace, "gen")
    runs.client.patch(path, {"metadata": {"annotations": {key: "Disabled"}}})
    runs.mirror("ArtifactGenerator", "gen")
    runs.publish("GitRepository", "mono", "main@sha1:22", MONO | {"README.md": "new"})
    assert runs.run() == {}
    runs.client.patch(path, {"metadata": {"annotations": {key: None}}})
    runs.mirror("ArtifactGenerator", "gen")
    assert runs.run() == {"gen": "resumed"}


@pytest.mark.parametrize(
    ("artifact", "source", "reason", "stalled"),
    [
        ({"name": "x", "copy": [copy("@repo/none")]}, REPO, "BuildFailed", False),
        ({"name": "x", "copy": [copy("@no/none")]}, REPO, "ValidationFailed", True),
        ({"name": "x", "copy": [copy("@repo/x")]}, REPO | {"name": "absent"}, "SourceFetchFailed", False),
        ({"name": "x", "copy": [copy("@repo/x")]}, REPO | {"namespace": "other"}, "AccessDenied", True),
        ({"name": "taken", "copy": [copy("@repo/README.md")]}, REPO, "ReconciliationFailed", False),
        ({"name": "own", "copy": [copy("@repo/README.md")]}, OWN, "ValidationFailed", True),
    ],
)
def test_what_cannot_be_made_is_said(
    generators: Generators, artifact: dict[str, Any], source: dict[str, Any], reason: str, stalled: bool
) -> None:
    """Each with Flux's reason; Stalled where only a person can mend it; what was there stays."""
    runs = generators.runs
    runs.ctx.settings = replace(runs.ctx.settings, no_cross_namespace_refs=True)
    taken = {"apiVersion": OUTPUT.api_version, "kind": OUTPUT.name, "metadata": {"name": "taken"}, "spec": {}}
    runs.client.create(OUTPUT.path(runs.namespace), taken)
    runs.publish("GitRepository", "mono", "main@sha1:11", MONO)
    runs.publish("ExternalArtifact", "own", "main@sha1:11", MONO)
    generators.put({"name": "good", "copy": [copy("@repo/README.md")]})
    runs.run()
    generators.put(artifact, sources=(source,))
    runs.run()
    assert runs.failure("gen")[0] == reason
    assert (runs.condition("gen", "Stalled").get("status") == "True") is stalled
    assert generators.names() == ["good", "taken"]
    assert "artifact" not in (generators.output("taken").get("status") or {})


def test_a_source_that_is_about_to_run_is_waited_for(generators: Generators) -> None:
    """In silence; its artifact wakes the generator."""
    runs = generators.runs
    runs.put("GitRepository", "mono", url="https://git.example.com/x")
    generators.put({"name": "x", "copy": [copy("@repo/README.md")]})
    claimed = {run.ref: run for run in runs.state.claim("source").runs}
    execute(runs.ctx, artifactgenerator.PIPELINE, "source", runs.ref("gen"), claimed[runs.ref("gen")].fence)
    assert runs.condition("gen") == {}
    runs.publish("GitRepository", "mono", "main@sha1:11", MONO)
    assert set(runs.run()) == {"gen"}
    assert runs.condition("gen")["status"] == "True"
