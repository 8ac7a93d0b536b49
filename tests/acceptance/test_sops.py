"""Encrypted Secrets from a commit to two clusters, and that nothing of them is anywhere else."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml

from tests.support.fleet import NAMESPACE, Fleet
from tests.support.sopstool import SopsTool

pytestmark = pytest.mark.acceptance

SECRETS = "/api/v1/namespaces/default/secrets"
PASSWORD, TOKEN = "correct-horse-battery", "staple-of-the-generator"
DECRYPTION = {"provider": "sops", "secretRef": {"name": "sops-age"}}


@pytest.fixture
def tool(tmp_path: Path) -> SopsTool:
    """A sops with an age key of its own, whose Secret is on the hub alone."""
    return SopsTool(tmp_path)


def repository(tool: SopsTool, password: str = PASSWORD) -> dict[str, str | None]:
    """A Secret that is encrypted and one that is generated from an encrypted file."""
    meta = {"name": "login", "namespace": "default"}
    login = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"password": password}}
    generator = {"name": "app", "namespace": "default", "envs": ["app.env"]}
    return {
        "app/kustomization.yaml": yaml.safe_dump({"resources": ["login.yaml"], "secretGenerator": [generator]}),
        "app/login.yaml": tool.object(yaml.safe_dump(login)),
        "app/app.env": tool.encrypt(f"TOKEN={TOKEN}\n", "app.env"),
    }


def test_encrypted_secrets_reach_the_clusters_and_nothing_else(fleet: Fleet, tool: SopsTool) -> None:
    """Applied on hub and edge; a changed key Secret wakes what failed; Redis, disks, S3 and logs are clean."""
    fleet.secret("sops-age", **{"me.agekey": tool.agekey})
    repo = fleet.repository("sealed", repository(tool))
    for name, edge in (("sealed-hub", False), ("sealed-edge", True)):
        fleet.kustomization(name, "sealed", path="./app", edge=edge, decryption=DECRYPTION)
        fleet.wait_ready("Kustomization", name, repo.head())
    for cluster in (fleet.hub, fleet.edge):
        found = {item["metadata"]["name"]: item.get("data") or {} for item in cluster.api("GET", SECRETS)["items"]}
        assert base64.b64decode(found["login"]["password"]).decode() == PASSWORD
        (generated,) = [data for name, data in found.items() if name.startswith("app-")]
        assert base64.b64decode(generated["TOKEN"]).decode() == TOKEN

    other = SopsTool(tool.folder)
    head = fleet.push(repo, "sealed", repository(other, "another-secret-pass"))
    told = fleet.wait_failed("Kustomization", "sealed-edge", "BuildFailed")
    assert f"age recipient {other.recipient}" in told["message"]
    assert base64.b64decode(fleet.edge.api("GET", f"{SECRETS}/login")["data"]["password"]).decode() == PASSWORD
    fleet.secret("sops-age", **{"me.agekey": tool.agekey, "other.agekey": other.agekey})
    fleet.wait_ready("Kustomization", "sealed-edge", head)
    fleet.wait_ready("Kustomization", "sealed-hub", head)
    assert fleet.edge.api("GET", f"{SECRETS}/login")["data"]["password"] == b64("another-secret-pass")

    hidden = [PASSWORD, TOKEN, "another-secret-pass", str(tool.identity), str(other.identity)]
    assert leaks(fleet.stack.directory, hidden) == []
    assert leaks(fleet.stack.directory, ["sealed-edge"]), "the search finds what is there"
    told_all = fleet.hub.api("GET", f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
    status = [fleet.get("Kustomization", name)["status"] for name in ("sealed-hub", "sealed-edge")]
    maps = [cluster.api("GET", "/api/v1/namespaces/fleetbeat-system/configmaps") for cluster in (fleet.hub, fleet.edge)]
    for text in hidden:
        assert text not in json.dumps([told_all, status, maps])


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def leaks(directory: Path, texts: list[str]) -> list[str]:
    """The files below a directory that hold one of the texts, plainly or in base64 at whatever place.

    Redis writes its append-only file there, S3 its volumes, the roles their caches and logs.
    """
    wanted = [text.encode() for text in texts]
    wanted += [b64(" " * shift + text)[4:-4].encode() for text in texts for shift in range(3)]
    files = [file for file in directory.rglob("*") if file.is_file() and not file.is_symlink()]
    return [str(file) for file in files if any(text in file.read_bytes() for text in wanted)]
