"""Runs of OCIRepositories: Secrets from the hub, an artifact of a real registry for everybody."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile import ocirepository
from fleetbeat.reconcile.context import Context
from fleetbeat.sources.oci.manifest import CHART_LAYER
from tests.support import oci
from tests.support.fakeregistry import FakeRegistry, Reply
from tests.support.runs import Runs
from tools.registry import RegistryServer

pytestmark = pytest.mark.cluster

FILES = {"app.yaml": "a: 1\n", "logo.png": "png"}
ACCOUNT = ("robot", "hunter2")
Servers = Callable[..., RegistryServer]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that asks nobody."""
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """`start(**options)`: a registry of this test's own."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(RegistryServer(tmp_path_factory.mktemp("own"), **options))


@pytest.fixture
def name() -> str:
    """A fresh repository name."""
    return f"org/r-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def runs(ctx: Context, client: KubeClient, namespace: str) -> Runs:
    """No OCIRepository yet."""
    return Runs(ctx, client, namespace, {"OCIRepository": ocirepository.PIPELINE})


def follow(runs: Runs, server: RegistryServer, name: str, **spec: Any) -> None:
    """Write the OCIRepository `apps` and run it."""
    usual = {"url": f"oci://{server.host}/{name}", "insecure": server.authority is None}
    runs.put("OCIRepository", "apps", **{**usual, **spec})
    runs.run()


def log_in(runs: Runs, host: str, secret: str = "pull", password: str = ACCOUNT[1]) -> dict[str, Any]:
    """A pull secret, and the field of a spec that names it."""
    auth = base64.b64encode(f"{ACCOUNT[0]}:{password}".encode()).decode()
    runs.secret(secret, _dockerconfigjson=json.dumps({"auths": {host: {"auth": auth}}}))
    return {"secretRef": {"name": secret}}


def files(ctx: Context, artifact: dict[str, Any]) -> set[str]:
    """The paths in a published artifact, whose digest is checked on the way."""
    path = ctx.store.get(artifact["key"], artifact["digest"])
    with tarfile.open(path) as tar:
        return set(tar.getnames())


def test_tag_becomes_an_artifact_as_flux_writes_it(
    ctx: Context, runs: Runs, registry: RegistryServer, name: str
) -> None:
    """Revision, file name, stable link, annotations of the manifest, observed settings, conditions and event."""
    origin = {"org.opencontainers.image.source": "https://git", "org.opencontainers.image.revision": "main@sha1:abc"}
    digest = oci.push(registry, name, "1.0.0", FILES, origin)
    follow(runs, registry, name, ref={"semver": "1.x"}, ignore="*.md", layerSelector={"operation": "extract"})
    status, artifact = runs.status("apps"), runs.published("apps")
    assert artifact["revision"] == f"1.0.0@{digest}"
    assert artifact["url"].endswith(f"/artifacts/ocirepository/{runs.namespace}/apps/{digest}.tar.gz")
    assert artifact["metadata"]["org.opencontainers.image.revision"] == "main@sha1:abc"
    assert status["url"].endswith("/apps/latest.tar.gz")
    assert (status["observedIgnore"], status["observedLayerSelector"]) == ("*.md", {"operation": "extract"})
    told = {c["type"]: c["message"] for c in status["conditions"]}
    assert told == dict.fromkeys(("Ready", "ArtifactInStorage"), f"stored artifact for digest '1.0.0@{digest}'")
    assert files(ctx, artifact) == {"app.yaml", "logo.png"}
    ((reason, message),) = runs.events()
    assert reason == "NewArtifact"
    assert "origin source 'https://git', origin revision 'main@sha1:abc'" in message


def test_unchanged_digest_costs_one_request(runs: Runs, ctx: Context) -> None:
    """Nothing is pulled while digest and settings stay; a changed setting pulls again."""
    layer = oci.archive(FILES)
    blob = layer.file.read()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "layers": [{"mediaType": "x", "digest": layer.digest, "size": layer.size}],
        }
    ).encode()
    kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    told = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    with FakeRegistry() as fake:
        reply = Reply(200, {**kind, "Docker-Content-Digest": told}, manifest)
        for reference in ("latest", told):
            fake.on(f"/v2/org/app/manifests/{reference}", reply)
        fake.on(f"/v2/org/app/blobs/{layer.digest}", Reply(200, {}, blob))
        spec: dict[str, Any] = {"url": f"oci://{fake.host}/org/app", "insecure": True}
        runs.put("OCIRepository", "apps", **spec)
        runs.run()
        first = runs.published("apps")
        fake.seen.clear()
        runs.again("apps")
        assert fake.paths() == ["HEAD /v2/org/app/manifests/latest"]
        assert runs.published("apps") == first
        runs.put("OCIRepository", "apps", ignore="*.yaml", **spec)
        runs.run()
        assert len(fake.seen) == 4
        assert files(ctx, runs.published("apps")) == {"logo.png"}


def test_new_push_of_a_tag_is_a_new_artifact(runs: Runs, registry: RegistryServer, name: str) -> None:
    """The old one stays in the store for whoever still reads it."""
    for number in (1, 2):
        digest = oci.push(registry, name, "latest", {"app.yaml": f"a: {number}\n"})
        follow(runs, registry, name)
        assert runs.published("apps")["revision"] == f"latest@{digest}"
    assert len(runs.stored("apps")) == 2


def test_copied_chart_is_the_layer_itself(ctx: Context, runs: Runs, registry: RegistryServer, name: str) -> None:
    """The artifact's digest is the layer's, as a HelmRelease's chartRef needs it; + is _ in a tag."""
    chart = oci.archive({"podinfo/Chart.yaml": "name: podinfo\n"}).file.read()
    oci.push_layers(registry, name, "6.5.0_build.1", [(CHART_LAYER, chart)])
    selector = {"mediaType": CHART_LAYER, "operation": "copy"}
    follow(runs, registry, name, ref={"semver": "6.x"}, layerSelector=selector)
    artifact = runs.published("apps")
    assert artifact["digest"] == f"sha256:{hashlib.sha256(chart).hexdigest()}"
    assert artifact["revision"].startswith("6.5.0_build.1@sha256:")
    assert ctx.store.get(artifact["key"], artifact["digest"]).read_bytes() == chart


@pytest.mark.parametrize(
    "options", [{}, {"tokens": True}, {"client_certificates": True}], ids=["basic", "token", "mtls"]
)
def test_secrets_of_the_spec_open_a_closed_registry(
    runs: Runs, start: Servers, name: str, options: dict[str, Any]
) -> None:
    """Pull secret, authority and client certificate."""
    server = start(account=ACCOUNT, **options)
    digest = oci.push(server, name, "latest", FILES)
    spec = log_in(runs, server.host)
    if server.authority:
        pair = server.client_certificate()
        keys = {"ca_crt": server.ca, "tls_crt": pair.certificate, "tls_key": pair.key}
        runs.secret("tls", **{key: value.decode() for key, value in keys.items()})
        spec["certSecretRef"] = {"name": "tls"}
    follow(runs, server, name, **spec)
    assert runs.published("apps")["revision"] == f"latest@{digest}"


def test_pull_secrets_of_the_service_account_are_used(
    runs: Runs, client: KubeClient, start: Servers, name: str
) -> None:
    """Those that fit the registry; ones that do not exist are passed over."""
    server = start(account=ACCOUNT)
    oci.push(server, name, "latest", FILES)
    log_in(runs, "ghcr.io", "other", "wrong")
    log_in(runs, server.host)
    names = [{"name": one} for one in ("missing", "other", "pull")]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"}, "imagePullSecrets": names}
    client.apply(f"/api/v1/namespaces/{runs.namespace}/serviceaccounts/puller", account, "user")
    follow(runs, server, name, serviceAccountName="puller")
    assert runs.condition("apps")["status"] == "True"


@pytest.mark.parametrize(
    ("spec", "reason", "advice"),
    [
        ({}, "AuthenticationFailed", "set spec.secretRef"),
        ({"secretRef": {"name": "missing"}}, "AuthenticationFailed", "Secret {namespace}/missing not found"),
        ({"secretRef": {"name": "wrong"}}, "AuthenticationFailed", "Secret {namespace}/wrong"),
        ({"secretRef": {"name": "other"}}, "AuthenticationFailed", "no account for"),
        ({"serviceAccountName": "missing"}, "AuthenticationFailed", "ServiceAccount {namespace}/missing not found"),
        ({"certSecretRef": {"name": "wrong"}}, "AuthenticationFailed", "neither ca.crt nor"),
        (
            {"certSecretRef": {"name": "ca"}},
            "AuthenticationFailed",
            "Secret {namespace}/ca (spec.certSecretRef)",
        ),
        ({"proxySecretRef": {"name": "wrong"}}, "AuthenticationFailed", "lacks the key address"),
        ({"insecure": False}, "OCIArtifactPullFailed", "spec.insecure"),
    ],
)
def test_wrong_accounts_are_told(
    runs: Runs, start: Servers, name: str, spec: dict[str, Any], reason: str, advice: str
) -> None:
    """FetchFailed with the Secret to look at and never its content."""
    server = start(account=ACCOUNT)
    oci.push(server, name, "latest", FILES)
    log_in(runs, server.host, "wrong", "hunter3")
    log_in(runs, "ghcr.io", "other")
    runs.secret("ca", ca_crt="hunter4")
    follow(runs, server, name, **spec)
    told, message = runs.failure("apps")
    assert (told, runs.condition("apps", "FetchFailed")["reason"]) == (reason, reason)
    assert advice.format(namespace=runs.namespace) in message
    assert "hunter" not in message


@pytest.mark.parametrize(
    ("spec", "reason", "condition", "stalled"),
    [
        ({"ref": {"tag": "missing"}}, "OCIArtifactPullFailed", "FetchFailed", False),
        ({"ref": {"semver": ">9"}}, "OCIArtifactPullFailed", "FetchFailed", False),
        ({"ref": {"semver": "new"}}, "ValidationFailed", "FetchFailed", True),
        ({"ref": {"digest": "sha256:1"}}, "ValidationFailed", "FetchFailed", True),
        ({"url": "oci://127.0.0.1/app:1.0.0"}, "URLInvalid", "FetchFailed", True),
        (
            {"layerSelector": {"mediaType": "a/b"}},
            "OCIArtifactLayerOperationFailed",
            "StorageOperationFailed",
            False,
        ),
        ({"provider": "gcp"}, "InvalidProviderConfiguration", "FetchFailed", True),
    ],
)
def test_failures_keep_the_last_artifact(
    runs: Runs, registry: RegistryServer, name: str, spec: dict[str, Any], reason: str, condition: str, stalled: bool
) -> None:
    """Each with its reason and condition; what was published stays so, and a success clears it all."""
    oci.push(registry, name, "latest", FILES)
    follow(runs, registry, name)
    before = runs.published("apps")
    follow(runs, registry, name, **spec)
    assert runs.failure("apps")[0] == reason
    assert runs.condition("apps", condition)["status"] == "True"
    assert bool(runs.condition("apps", "Stalled")) == stalled
    assert runs.published("apps") == before
    follow(runs, registry, name)
    assert {c["type"] for c in runs.status("apps")["conditions"]} == {"Ready", "ArtifactInStorage"}


def test_hostile_layer_keeps_the_last_artifact(runs: Runs, registry: RegistryServer, name: str) -> None:
    """A tar that climbs out of its root is no artifact."""
    oci.push(registry, name, "latest", FILES)
    follow(runs, registry, name)
    before = runs.published("apps")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../etc/cron.d/evil"))
    oci.push_layers(registry, name, "latest", [("x", out.getvalue())])
    runs.again("apps")
    assert runs.failure("apps")[0] == "OCIArtifactLayerOperationFailed"
    assert runs.published("apps") == before


def test_lost_artifact_is_made_again(ctx: Context, runs: Runs, registry: RegistryServer, name: str) -> None:
    """The store's self-check notices, and the same revision is pulled again with the same digest."""
    oci.push(registry, name, "latest", FILES)
    follow(runs, registry, name)
    before = runs.published("apps")
    ctx.store._delete([before["key"]])
    ref = runs.ref("apps")
    runs.state.command("HDEL", "fb:{source}:memo", ref)
    runs.again("apps")
    assert runs.published("apps") == before
    assert runs.stored("apps") == [before["digest"]]


def test_deleted_resource_takes_its_artifacts_along(runs: Runs, registry: RegistryServer, name: str) -> None:
    """Nothing is left in the store."""
    oci.push(registry, name, "latest", FILES)
    follow(runs, registry, name)
    assert runs.stored("apps")
    runs.delete("apps")
    runs.run()
    assert runs.stored("apps") == []
