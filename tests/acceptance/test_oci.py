"""Gitless: what is pushed to a registry becomes running objects, with no Git server anywhere in between."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.support import oci
from tests.support.fleet import NAMESPACE, Fleet, config_map
from tools.registry import RegistryServer

pytestmark = pytest.mark.acceptance

ACCOUNT = ("robot", "hunter2")
ORIGIN = {
    "org.opencontainers.image.source": "https://git.example/apps",
    "org.opencontainers.image.revision": "main@sha1:0123456789",
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry with TLS and tokens for one account."""
    folder: Path = tmp_path_factory.mktemp("registry")
    with RegistryServer(folder, tls=True, tokens=True, account=ACCOUNT) as server:
        yield server


@pytest.fixture(autouse=True)
def secrets(fleet: Fleet, registry: RegistryServer) -> None:
    """The account, a wrong one, and the registry's authority."""
    for name, password in (("pull", ACCOUNT[1]), ("wrong", "hunter3")):
        auth = base64.b64encode(f"{ACCOUNT[0]}:{password}".encode()).decode()
        fleet.secret(name, **{".dockerconfigjson": json.dumps({"auths": {registry.host: {"auth": auth}}})})
    fleet.secret("authority", **{"ca.crt": registry.ca.decode()})


def follow(fleet: Fleet, registry: RegistryServer, name: str, **spec: Any) -> None:
    """An OCIRepository of the repository of that name."""
    secrets = {"secretRef": {"name": "pull"}, "certSecretRef": {"name": "authority"}}
    fields = {"url": f"oci://{registry.host}/apps/{name}", "interval": "10m", **secrets, **spec}
    fleet.resource("OCIRepository", name, {key: field for key, field in fields.items() if field is not None})


def apply(fleet: Fleet, name: str, **spec: Any) -> None:
    """A Kustomization of that OCIRepository on the edge."""
    fleet.kustomization(name, name, edge=True, sourceRef={"kind": "OCIRepository", "name": name}, **spec)


def value(fleet: Fleet, name: str) -> dict[str, str]:
    """The data of a ConfigMap on the edge."""
    data: dict[str, str] = fleet.edge.api("GET", f"/api/v1/namespaces/default/configmaps/{name}")["data"]
    return data


def test_a_push_is_applied_and_the_next_one_rolls_out(fleet: Fleet, registry: RegistryServer) -> None:
    """Both become Ready at the digest; after a new push of the tag, `reconcile source oci` brings it everywhere."""
    first = oci.push(registry, "apps/shop", "latest", {"a.yaml": config_map("shop", v="1")}, ORIGIN)
    follow(fleet, registry, "shop")
    apply(fleet, "shop")
    status = fleet.wait_ready("Kustomization", "shop", first)["status"]
    assert status["lastAppliedRevision"] == f"latest@{first}"
    assert status["lastAppliedOriginRevision"] == ORIGIN["org.opencontainers.image.revision"]
    assert value(fleet, "shop") == {"v": "1"}
    second = oci.push(registry, "apps/shop", "latest", {"a.yaml": config_map("shop", v="2")}, ORIGIN)
    fleet.command("reconcile", "source", "oci", "shop")
    fleet.wait_ready("Kustomization", "shop", second)
    assert value(fleet, "shop") == {"v": "2"}
    assert f"latest@{second[:15]}" in fleet.command("get", "source", "oci", "shop").replace("\n", "")


def test_stable_link_serves_the_newest_artifact(fleet: Fleet, registry: RegistryServer) -> None:
    """`status.url` and `status.artifact.url`, whose file name has a colon, give the same bytes."""
    digest = oci.push(registry, "apps/link", "latest", {"a.yaml": config_map("link")})
    follow(fleet, registry, "link")
    status = fleet.wait_ready("OCIRepository", "link", digest)["status"]
    assert status["artifact"]["url"].endswith(f"/ocirepository/{NAMESPACE}/link/{digest}.tar.gz")
    with urllib3.PoolManager() as pool:
        got = [pool.request("GET", url) for url in (status["url"], status["artifact"]["url"])]
    assert [one.status for one in got] == [200, 200]
    assert got[0].data == got[1].data
    assert len(got[0].data) == status["artifact"]["size"]


@pytest.mark.parametrize(
    ("name", "spec", "reason"),
    [
        ("wrong-password", {"secretRef": {"name": "wrong"}}, "AuthenticationFailed"),
        ("missing-tag", {"ref": {"tag": "missing"}}, "OCIArtifactPullFailed"),
        ("unknown-authority", {"certSecretRef": None}, "OCIArtifactPullFailed"),
    ],
)
def test_faults_have_their_conditions(
    fleet: Fleet, registry: RegistryServer, name: str, spec: dict[str, Any], reason: str
) -> None:
    """Reason and FetchFailed, no password anywhere; the Kustomization says what it waits for, and mending it helps."""
    oci.push(registry, f"apps/{name}", "latest", {"a.yaml": config_map(name)})
    follow(fleet, registry, name, **spec)
    apply(fleet, name)
    fleet.wait_failed("OCIRepository", name, reason)
    assert fleet.condition("OCIRepository", name, "FetchFailed")["status"] == "True"
    assert name in fleet.wait_failed("Kustomization", name, "ArtifactFailed")["message"]
    assert "hunter" not in json.dumps(fleet.get("OCIRepository", name)["status"]) + fleet.logs()
    follow(fleet, registry, name)
    fleet.wait_ready("Kustomization", name)


def test_mended_secret_wakes_the_source(fleet: Fleet, registry: RegistryServer) -> None:
    """Nobody waits for the interval after putting the right password into the Secret."""
    oci.push(registry, "apps/mended", "latest", {"a.yaml": config_map("mended")})
    fleet.secret("mended", **{".dockerconfigjson": json.dumps({"auths": {}})})
    follow(fleet, registry, "mended", secretRef={"name": "mended"})
    fleet.wait_failed("OCIRepository", "mended", "AuthenticationFailed")
    auth = base64.b64encode(":".join(ACCOUNT).encode()).decode()
    fleet.secret("mended", **{".dockerconfigjson": json.dumps({"auths": {registry.host: {"auth": auth}}})})
    fleet.wait_ready("OCIRepository", "mended")
