"""From custom resources to records of the registry."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from fleetbeat.api.kinds import KINDS
from fleetbeat.hub.records import record_of
from fleetbeat.kube.reach import Reach
from fleetbeat.state import Record
from fleetbeat.state.shards import APPLY, shard_of

pytestmark = pytest.mark.unit


def cr(spec: dict[str, Any], status: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    """An item of a list, as the API server sends it."""
    base = {"name": "web", "namespace": "apps", "uid": "u1", "resourceVersion": "7", "generation": 2}
    obj: dict[str, Any] = {"metadata": {**base, "managedFields": [{"manager": "x"}], **meta}, "spec": spec}
    return obj if status is None else obj | {"status": status}


def record(kind: str, spec: dict[str, Any], **rest: Any) -> Record:
    """Its record."""
    return record_of(KINDS[kind], cr(spec, **rest))


def test_a_record_carries_what_the_registry_needs() -> None:
    """Identity, versions, interval, request; the object without status, managedFields and kubectl's copy."""
    annotations = {
        "reconcile.fluxcd.io/requestedAt": "now",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    made = record("GitRepository", {"interval": "1m30s"}, status={"observedGeneration": 2}, annotations=annotations)
    assert (made.shard, made.ref, made.uid, made.rv, made.generation) == (
        "source",
        "GitRepository/apps/web",
        "u1",
        "7",
        2,
    )
    assert (made.every_ms, made.cluster, made.requested, made.reach) == (90_000, "hub", "now", None)
    assert orjson.loads(made.status or b"") == {"observedGeneration": 2}
    obj = orjson.loads(made.obj)
    assert (obj["apiVersion"], obj["kind"], "status" in obj) == ("source.toolkit.fluxcd.io/v1", "GitRepository", False)
    assert obj["metadata"].keys() == {"name", "namespace", "uid", "generation", "annotations"}
    assert obj["metadata"]["annotations"] == {"reconcile.fluxcd.io/requestedAt": "now"}


def test_status_updates_leave_the_object_equal() -> None:
    """So that the registrar can tell them from everything else."""
    assert (
        record("Receiver", {}, resourceVersion="8", status={"a": 1}).obj
        == record("Receiver", {}, resourceVersion="9").obj
    )


@pytest.mark.parametrize(
    ("kind", "interval", "seconds"),
    [
        ("Kustomization", None, 300),
        ("Receiver", None, 600),
        ("GitRepository", "250ms", 1),
        ("GitRepository", "nonsense", 600),
        ("GitRepository", 5, 600),
        ("Kustomization", "1h", 3600),
    ],
)
def test_intervals(kind: str, interval: object, seconds: int) -> None:
    """Absent or unreadable ones have a default, tiny ones a floor."""
    spec = {} if interval is None else {"interval": interval}
    assert record(kind, spec).every_ms == seconds * 1000


def test_sources_of_one_upstream_are_of_one_group() -> None:
    """Whoever asks, and however often; other URLs, kinds and buckets are other groups, and consumers have none."""

    def group(kind: str, **spec: object) -> str:
        return record(kind, dict(spec)).group

    url = "https://git.example.com/org/app"
    one = group("GitRepository", url=url, interval="1m")
    assert one == group("GitRepository", url=url, interval="1h", ref={"tag": "a"}, secretRef={"name": "x"})
    assert one == group("GitRepository", url="https://me:secret@git.example.com/org/app")
    bucket = {"endpoint": "s3.example.com", "bucketName": "a"}
    others = {
        group("GitRepository", url=f"{url}2"),
        group("OCIRepository", url=url),
        group("Bucket", **bucket),
        group("Bucket", **bucket | {"bucketName": "b"}),
    }
    assert len({one, *others}) == 5
    assert group("Kustomization", path="./") == ""


def test_a_kustomizations_targets() -> None:
    """Source, dependencies and every ConfigMap and Secret it names."""
    spec = {
        "sourceRef": {"kind": "GitRepository", "name": "repo", "namespace": "flux-system"},
        "dependsOn": [{"name": "infra"}, {"name": "crds", "namespace": "other"}],
        "postBuild": {
            "substituteFrom": [{"kind": "ConfigMap", "name": "vars"}, {"kind": "Secret", "name": "s", "optional": True}]
        },
        "decryption": {"provider": "sops", "secretRef": {"name": "keys"}},
        "kubeConfig": {"secretRef": {"name": "prod", "key": "k"}},
    }
    assert set(record("Kustomization", spec).targets) == {
        "GitRepository/flux-system/repo",
        "Kustomization/apps/infra",
        "Kustomization/other/crds",
        "ConfigMap/apps/vars",
        "Secret/apps/s",
        "Secret/apps/keys",
        "Secret/apps/prod",
    }


def test_what_dependencies_refer_to() -> None:
    """Another kind where an entry names one; and the whole status where an expression looks at it."""
    depends = [{"name": "db", "kind": "HelmRelease"}, {"name": "infra", "readyExpr": "true"}]
    assert set(record("Kustomization", {"dependsOn": depends}).targets) == {
        "HelmRelease/apps/db",
        "Kustomization/apps/infra",
        "status:Kustomization/apps/infra",
    }


def test_a_sources_targets() -> None:
    """Credentials, certificates, proxy, keys and included repositories."""
    spec = {
        "secretRef": {"name": "login"},
        "certSecretRef": {"name": "ca"},
        "proxySecretRef": {"name": "proxy"},
        "verify": {"secretRef": {"name": "keys"}},
        "include": [{"repository": {"name": "lib"}}],
    }
    assert set(record("GitRepository", spec).targets) == {
        "Secret/apps/login",
        "Secret/apps/ca",
        "Secret/apps/proxy",
        "Secret/apps/keys",
        "GitRepository/apps/lib",
    }


def test_a_trusted_root_is_a_target() -> None:
    """Another root means verifying anew."""
    verify = {"provider": "cosign", "trustedRootSecretRef": {"name": "root"}}
    assert "Secret/apps/root" in record("OCIRepository", {"verify": verify}).targets


def test_the_cluster_follows_the_kubeconfig_reference() -> None:
    """Equal references share a cluster and a shard; the reference tells how it is reached."""
    spec = {"kubeConfig": {"secretRef": {"name": "prod"}}}
    one = record("Kustomization", spec)
    two = record("Kustomization", {**spec, "interval": "1m"}, name="other")
    elsewhere = record("Kustomization", spec, namespace="other")
    assert one.cluster == two.cluster != elsewhere.cluster
    assert one.cluster.startswith("k-")
    assert one.shard == shard_of("Kustomization", one.cluster)
    assert one.shard in APPLY
    assert Reach.decode(one.cluster, one.reach) == Reach(one.cluster, "apps", "prod", "")
    assert record("Kustomization", {}).cluster == "hub"


@pytest.mark.parametrize(
    "spec",
    [
        {"sourceRef": "x", "dependsOn": {"a": 1}, "postBuild": [], "kubeConfig": "x", "suspend": None},
        {"dependsOn": ["x", None], "postBuild": {"substituteFrom": [None, {"kind": "Pod", "name": "x"}]}},
        {"secretRef": None, "include": None, "kubeConfig": {"secretRef": {}}},
    ],
)
def test_odd_specs_become_records_all_the_same(spec: dict[str, Any]) -> None:
    """What is wrong with a spec is for its run to say."""
    made = record("Kustomization", spec)
    assert made.cluster == "hub"
    assert not made.suspended


def test_flags() -> None:
    """Suspension and deletion; only ArtifactGenerators are suspended by annotation."""
    paused = {"source.extensions.fluxcd.io/reconcile": "Disabled"}
    assert record("Receiver", {"suspend": True}).suspended
    assert record("ArtifactGenerator", {}, annotations=paused).suspended
    assert not record("GitRepository", {}, annotations=paused).suspended
    assert record("Receiver", {}, deletionTimestamp="2026-01-01T00:00:00Z").deleting


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://robot:hunter2@git.example.com/a", "https://robot:***@git.example.com/a"),
        ("oci://:hunter2@ghcr.io/org/app", "oci://:***@ghcr.io/org/app"),
        ("https://robot:hun@ter2@git.example.com/a", "https://robot:***@git.example.com/a"),
        ("ssh://git@git.example.com:22/a@b", "ssh://git@git.example.com:22/a@b"),
        ("https://org@dev.azure.com/a/_git/b", "https://org@dev.azure.com/a/_git/b"),
    ],
)
def test_a_password_in_a_url_does_not_reach_redis(url: str, kept: str) -> None:
    """It is refused in any case; that there is one still shows."""
    made = record("GitRepository", {"url": url, "interval": "1m"})
    assert orjson.loads(made.obj)["spec"]["url"] == kept
    assert "hunter2" not in repr(made)
