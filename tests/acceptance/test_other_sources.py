"""Objects from other places than Git: a bucket, and artifacts that somebody else makes and serves."""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import Any

import pytest
import urllib3

from fleetbeat.api.kinds import KINDS
from tests.support.fleet import NAMESPACE, Fleet, config_map
from tests.support.servedfiles import FileServer

pytestmark = pytest.mark.acceptance

MAPS = "/api/v1/namespaces/default/configmaps"


def test_a_bucket_is_applied_follows_changes_and_prunes(fleet: Fleet) -> None:
    """What is put into the bucket reaches the cluster, what leaves it goes; the stable link is the newest archive."""
    s3, name = fleet.stack.s3, f"apps-{uuid.uuid4().hex[:8]}"
    fleet.secret("bucket-keys", accesskey=s3.access_key, secretkey=s3.secret_key)
    with closing(s3.client()) as client:
        client.create_bucket(Bucket=name)
        client.put_object(Bucket=name, Key="prod/a.yaml", Body=config_map("from-bucket", v="1").encode())
        client.put_object(Bucket=name, Key="prod/b.yaml", Body=config_map("leaves-bucket").encode())
        client.put_object(Bucket=name, Key="prod/notes.md", Body=b"- not: [yaml")
        endpoint = s3.endpoint.removeprefix("http://")
        login = {"secretRef": {"name": "bucket-keys"}, "insecure": True, "ignore": "*.md"}
        spec = {"interval": "10m", "bucketName": name, "endpoint": endpoint, "prefix": "prod/", **login}
        fleet.resource("Bucket", "apps", spec)
        fleet.kustomization("apps", "apps", sourceRef={"kind": "Bucket", "name": "apps"}, path="./prod", edge=True)
        first = fleet.wait_ready("Bucket", "apps")["status"]
        fleet.wait_ready("Kustomization", "apps", first["artifact"]["revision"])
        assert fleet.edge.api("GET", f"{MAPS}/from-bucket")["data"] == {"v": "1"}
        client.put_object(Bucket=name, Key="prod/a.yaml", Body=config_map("from-bucket", v="2").encode())
        client.delete_object(Bucket=name, Key="prod/b.yaml")
    second = fleet.reconcile("Bucket", "apps")["status"]
    fleet.wait_ready("Kustomization", "apps", second["artifact"]["revision"])
    names = {item["metadata"]["name"]: item for item in fleet.edge.api("GET", MAPS)["items"]}
    assert names["from-bucket"]["data"] == {"v": "2"}
    assert "leaves-bucket" not in names
    newest, exact, before = (_get(url) for url in (second["url"], second["artifact"]["url"], first["artifact"]["url"]))
    assert newest == exact != before
    fleet.delete("Bucket", "apps")
    fleet.until(lambda: "apps" not in _names(fleet, "Bucket"), "the bucket is gone")
    assert urllib3.request("GET", second["artifact"]["url"], timeout=10.0).status == 404


def test_an_external_artifact_is_applied_and_followed(fleet: Fleet) -> None:
    """Made and served by somebody else, known by its status alone; also after Redis was wiped."""
    with FileServer() as server:
        fleet.resource("ExternalArtifact", "theirs", {})
        fleet.kustomization("theirs", "x", sourceRef={"kind": "ExternalArtifact", "name": "theirs"}, edge=True)
        fleet.wait_failed("Kustomization", "theirs", "ArtifactFailed")
        _offer(fleet, server, "main@sha1:11", "1")
        fleet.wait_ready("Kustomization", "theirs", "main@sha1:11")
        assert fleet.edge.api("GET", f"{MAPS}/theirs")["data"] == {"v": "1"}
        _offer(fleet, server, "main@sha1:22", "2")
        fleet.wait_ready("Kustomization", "theirs", "main@sha1:22")
        with fleet.stack.valkey.client() as redis:
            redis.flushall()
        _offer(fleet, server, "main@sha1:33", "3")
        fleet.wait_ready("Kustomization", "theirs", "main@sha1:33")
        assert fleet.edge.api("GET", f"{MAPS}/theirs")["data"] == {"v": "3"}
        assert len(server.requests) == 3


def test_parts_of_a_repository_are_applied_on_their_own(fleet: Fleet) -> None:
    """A push to one directory reaches that directory's Kustomization and leaves the others where they were."""
    files: dict[str, str | None] = {f"apps/{app}/map.yaml": config_map(f"part-{app}", v="1") for app in ("one", "two")}
    repo = fleet.repository("mono", files)
    source = {"alias": "repo", "kind": "GitRepository", "name": "mono"}
    rule = {"from": "@repo/apps/{app}/**", "to": "@artifact/"}
    artifact = {"name": "part-{app}", "originRevision": "@repo", "copy": [rule]}
    spec = {"sources": [source], "pathPattern": "@repo/apps/{app}", "artifacts": [artifact]}
    fleet.resource("ArtifactGenerator", "parts", spec)
    for app in ("one", "two"):
        name = f"part-{app}"
        fleet.kustomization(name, "x", sourceRef={"kind": "ExternalArtifact", "name": name})
    before = {app: fleet.wait_ready("Kustomization", f"part-{app}")["status"] for app in ("one", "two")}
    assert before["one"]["lastAppliedOriginRevision"] == f"main@sha1:{repo.head()}"
    fleet.push(repo, "mono", {"apps/two/map.yaml": config_map("part-two", v="2")})
    fleet.until(lambda: _applied(fleet, "part-two") != before["two"]["lastAppliedRevision"], "the change is applied")
    assert fleet.hub.api("GET", f"{MAPS}/part-two")["data"] == {"v": "2"}
    assert fleet.get("Kustomization", "part-one")["status"] == before["one"]
    url = fleet.get("ExternalArtifact", "part-two")["status"]["artifact"]["url"]
    assert _get(url)
    fleet.delete("ArtifactGenerator", "parts")
    fleet.until(
        lambda: not _names(fleet, "ArtifactGenerator") | (_names(fleet, "ExternalArtifact") - {"theirs"}), "gone"
    )
    assert fleet.hub.api("GET", f"{MAPS}/part-one")["data"] == {"v": "1"}


def _offer(fleet: Fleet, server: FileServer, revision: str, value: str) -> None:
    """What another controller does."""
    path = f"external/{revision.rpartition(':')[2]}.tar.gz"
    artifact: dict[str, Any] = server.archive(path, revision, {"a.yaml": config_map("theirs", v=value)})
    path = KINDS["ExternalArtifact"].path(NAMESPACE, "theirs", "status")
    fleet.hub.api("PATCH", path, {"status": {"artifact": artifact}}, "application/merge-patch+json")


def _applied(fleet: Fleet, name: str) -> str:
    return str(fleet.get("Kustomization", name)["status"]["lastAppliedRevision"])


def _names(fleet: Fleet, kind: str) -> set[str]:
    return {item["metadata"]["name"] for item in fleet.hub.api("GET", KINDS[kind].path(NAMESPACE))["items"]}


def _get(url: str) -> bytes:
    answer = urllib3.request("GET", url, timeout=10.0)
    assert answer.status == 200, answer.data
    return answer.data
