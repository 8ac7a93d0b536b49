"""Every role does its whole job with no more than the rights that the chart gives its service account."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from fleetbeat.api.kinds import KINDS
from tests.support.chart import NAMESPACE, Release
from tests.support.image import Image
from tests.support.installation import Installation
from tests.support.resources import create, wait_ready
from tests.support.wait import until
from tools.apiclient import ApiError
from tools.chartserver import ChartServer
from tools.clusters import Cluster
from tools.gitserver import GitServer
from workers.embedded.s3 import EmbeddedS3
from workers.roles import ROLES

pytestmark = pytest.mark.cluster

TENANT = "team"
TOKEN = "hook-token"
CHART = "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies:\n- name: app\n  version: 1.x\n  repository: "
"""A Chart.yaml; the URL of the dependency's repository comes behind."""
COMMITTED = (
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {colour: '${colour}'}\n"
    "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"
)


@pytest.fixture(params=["clusterAdmin=true", "clusterAdmin=false"])
def installation(
    request: pytest.FixtureRequest, hub: Cluster, image: Image, redis_url: str, s3: EmbeddedS3, tmp_path: Path
) -> Iterator[Installation]:
    """All roles, at work."""
    release = Release.render(
        request.param,
        f's3.endpoint="{s3.endpoint}"',
        f's3.bucket="{s3.bucket}"',
        f's3.prefix="{uuid.uuid4().hex}"',
        'flower.existingSecret="flower"',
    )
    secrets = {
        "fleetbeat-redis": {"url": redis_url},
        "fleetbeat-s3": {"accessKey": s3.access_key, "secretKey": s3.secret_key},
        "flower": {"auth": "fleetbeat:secret"},
    }
    _namespace(hub, NAMESPACE)
    with Installation(release, hub, image, tmp_path, secrets) as running:
        yield running


@pytest.fixture
def charts(tmp_path: Path) -> Iterator[ChartServer]:
    """A chart repository with the chart `app`."""
    with ChartServer(tmp_path / "charts") as server:
        server.add("app", "1.0.0")
        yield server


@pytest.fixture
def tenant(hub: Cluster) -> Iterator[str]:
    """A fresh namespace whose service account `team` may do everything in it, and nothing elsewhere."""
    name = f"tenant-{uuid.uuid4().hex[:6]}"
    _namespace(hub, name)
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}"
    hub.api("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": TENANT}})
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    hub.api("POST", f"{rbac}/roles", {"metadata": {"name": TENANT}, "rules": [rule]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": TENANT}
    subjects = [{"kind": "ServiceAccount", "name": TENANT, "namespace": name}]
    hub.api("POST", f"{rbac}/rolebindings", {"metadata": {"name": TENANT}, "roleRef": role, "subjects": subjects})
    yield name
    hub.api("DELETE", f"/api/v1/namespaces/{name}")


def test_every_role_does_its_job_under_its_own_account(
    installation: Installation, hub: Cluster, tenant: str, git_server: GitServer, charts: ChartServer
) -> None:
    """Fetch, apply, events, drift, webhook, artifact and deletion work; the API server never refuses a request."""
    git = git_server.create(f"rights-{tenant}")
    head = git.commit({"app/app.yaml": COMMITTED, "chart/Chart.yaml": CHART + charts.url}, "first")
    _create_fleet(hub, tenant, git.url)
    source = wait_ready(hub, tenant, "GitRepository", "app", installation.logs)
    wait_ready(hub, tenant, "Kustomization", "app", installation.logs)
    hook = wait_ready(hub, tenant, "Receiver", "push", installation.logs)["status"]["webhookPath"]
    assert _config_map(hub, tenant)["data"] == {"colour": "blue"}
    assert _get(source["status"]["artifact"]["url"]).status == 200
    assert head in source["status"]["artifact"]["revision"]
    events = f"/api/v1/namespaces/{tenant}/events"
    until(lambda: _reasons(hub, events) >= {"ReconciliationSucceeded"}, message="an event", timeout=60)

    _create_generator(hub, tenant)
    wait_ready(hub, tenant, "ArtifactGenerator", "parts", installation.logs)
    wait_ready(hub, tenant, "Kustomization", "part", installation.logs)
    made = hub.api("GET", KINDS["ExternalArtifact"].path(tenant, "part"))
    assert _get(made["status"]["artifact"]["url"]).status == 200

    create(hub, tenant, "HelmRepository", "charts", {"url": charts.url})
    source_ref = {"kind": "GitRepository", "name": "app"}
    create(hub, tenant, "HelmChart", "web", {"chart": "./chart", "interval": "10m", "sourceRef": source_ref})
    made = wait_ready(hub, tenant, "HelmChart", "web", installation.logs)
    assert _get(made["status"]["url"]).status == 200

    hub.api("PATCH", _path(tenant), {"data": {"colour": "red"}})
    until(lambda: _config_map(hub, tenant)["data"] == {"colour": "blue"}, message="drift reverted", timeout=60)

    git.commit({"app/app.yaml": COMMITTED.replace("app}", "app, labels: {pushed: 'yes'}}", 1)}, "second")
    assert urllib3.request("POST", f"http://127.0.0.1:{installation.web}{hook}", body=b"{}", timeout=30.0).status == 200
    until(lambda: "pushed" in _config_map(hub, tenant)["metadata"]["labels"], message="the push", timeout=60)

    made_of = (("Kustomization", "part"), ("ArtifactGenerator", "parts"), ("HelmChart", "web"))
    hub.api("DELETE", KINDS["HelmRepository"].path(tenant, "charts"))
    for kind, name in (*made_of, ("Kustomization", "app"), ("Receiver", "push"), ("GitRepository", "app")):
        hub.api("DELETE", KINDS[kind].path(tenant, name))
    until(lambda: not _resources(hub, tenant), message="resources gone", timeout=60)
    assert not _names(hub, tenant) & {"app", "other"}

    installation.check_alive()
    _check_requests(installation)


def _check_requests(installation: Installation) -> None:
    sent = installation.requests()
    refused = [event for events in sent.values() for event in events if event["responseStatus"]["code"] in (401, 403)]
    assert not [f"{one['user']['username']}: {one['verb']} {one['requestURI']}" for one in refused]
    assert {role for role, events in sent.items() if events} == set(ROLES) - {"beat", "flower"}
    assert "orbidden" not in installation.logs()
    assert "Traceback" not in installation.logs()


def _create_fleet(hub: Cluster, namespace: str, url: str) -> None:
    secret = {"metadata": {"name": "push"}, "data": {"token": base64.b64encode(TOKEN.encode()).decode()}}
    hub.api("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    settings = {"metadata": {"name": "settings"}, "data": {"colour": "blue"}}
    hub.api("POST", f"/api/v1/namespaces/{namespace}/configmaps", settings)
    create(hub, namespace, "GitRepository", "app", {"url": url, "interval": "10m", "ref": {"branch": "main"}})
    spec = {
        "interval": "10m",
        "path": "./app",
        "prune": True,
        "wait": True,
        "targetNamespace": namespace,
        "serviceAccountName": TENANT,
        "sourceRef": {"kind": "GitRepository", "name": "app"},
        "postBuild": {"substituteFrom": [{"kind": "ConfigMap", "name": "settings"}]},
    }
    create(hub, namespace, "Kustomization", "app", spec)
    receiver = {
        "type": "generic",
        "secretRef": {"name": "push"},
        "resources": [{"kind": "GitRepository", "name": "app"}],
    }
    create(hub, namespace, "Receiver", "push", receiver)


def _create_generator(hub: Cluster, namespace: str) -> None:
    """An artifact of a part of the repository, and a Kustomization of it that applies nothing new."""
    source = {"alias": "repo", "kind": "GitRepository", "name": "app"}
    artifact = {"name": "part", "copy": [{"from": "@repo/app/**", "to": "@artifact/part/"}]}
    create(hub, namespace, "ArtifactGenerator", "parts", {"sources": [source], "artifacts": [artifact]})
    spec = {
        "interval": "10m",
        "path": "./part",
        "prune": True,
        "targetNamespace": namespace,
        "namePrefix": "part-",
        "serviceAccountName": TENANT,
        "sourceRef": {"kind": "ExternalArtifact", "name": "part"},
        "postBuild": {"substitute": {"colour": "green"}},
    }
    create(hub, namespace, "Kustomization", "part", spec)


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/app"


def _config_map(hub: Cluster, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = hub.api("GET", _path(namespace))
    return found


def _names(hub: Cluster, namespace: str) -> set[str]:
    found = hub.api("GET", f"/api/v1/namespaces/{namespace}/configmaps")
    return {item["metadata"]["name"] for item in found["items"]}


def _resources(hub: Cluster, namespace: str) -> list[str]:
    sources = ("GitRepository", "ArtifactGenerator", "ExternalArtifact", "HelmRepository", "HelmChart")
    names = ("Kustomization", "Receiver", *sources)
    kinds = [KINDS[name] for name in names]
    return [kind.name for kind in kinds if hub.api("GET", kind.path(namespace))["items"]]


def _reasons(hub: Cluster, events: str) -> set[str]:
    return {item["reason"] for item in hub.api("GET", events)["items"]}


def _get(url: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", url, timeout=30.0)


def _namespace(hub: Cluster, name: str) -> None:
    try:
        hub.create_namespace(name)
    except ApiError as error:
        if error.status != 409:
            raise
