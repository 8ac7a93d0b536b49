"""Runs of Buckets: Secrets from the hub, objects from S3, an artifact for everybody."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile import bucket
from fleetbeat.reconcile.context import Context
from tests.support.runs import Runs
from tests.support.vendorapis import scripted_sts
from workers.embedded.s3 import EmbeddedS3

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.cluster

KEYS = {"secretRef": {"name": "keys"}}


@pytest.fixture
def upstream(s3: EmbeddedS3) -> Iterator[S3Client]:
    """The administrator of the server that has the buckets."""
    client = s3.client()
    yield client
    client.close()


@pytest.fixture
def name(upstream: S3Client) -> str:
    """A bucket with one object."""
    made = f"upstream-{uuid.uuid4().hex[:8]}"
    upstream.create_bucket(Bucket=made)
    upstream.put_object(Bucket=made, Key="app/map.yaml", Body=b"one")
    return made


@pytest.fixture
def runs(ctx: Context, client: KubeClient, namespace: str, s3: EmbeddedS3) -> Runs:
    """No Bucket yet; the Secret `keys` opens all of them."""
    made = Runs(ctx, client, namespace, {"Bucket": bucket.PIPELINE})
    made.secret("keys", accesskey=s3.access_key, secretkey=s3.secret_key)
    return made


def put(runs: Runs, s3: EmbeddedS3, name: str, **spec: Any) -> None:
    """The Bucket `b`."""
    endpoint = s3.endpoint.removeprefix("http://")
    runs.put("Bucket", "b", **{"bucketName": name, "endpoint": endpoint, "insecure": True, **spec})


def test_a_bucket_becomes_an_artifact(runs: Runs, s3: EmbeddedS3, name: str) -> None:
    """Status, event, stable link and the record for consumers are as Flux has them."""
    put(runs, s3, name, ignore="*.md", **KEYS)
    runs.run()
    status = runs.status("b")
    artifact = status["artifact"]
    hexadecimal = artifact["revision"].removeprefix("sha256:")
    assert artifact["path"] == f"bucket/{runs.namespace}/b/{hexadecimal}.tar.gz"
    assert artifact["url"].endswith(f"/artifacts/{artifact['path']}")
    assert status["url"].endswith(f"/artifacts/bucket/{runs.namespace}/b/latest.tar.gz")
    assert status["observedIgnore"] == "*.md"
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Ready": "True", "ArtifactInStorage": "True"}
    assert runs.published("b")["key"].endswith(f"/uid-b/{artifact['digest'][7:]}/{hexadecimal}.tar.gz")
    assert runs.events() == [("NewArtifact", f"stored artifact with 1 fetched files from '{name}' bucket")]


def test_only_a_change_makes_a_new_artifact(runs: Runs, s3: EmbeddedS3, name: str, upstream: S3Client) -> None:
    """An unchanged bucket keeps it, time and all; a new object makes another; a lost one is made again."""
    put(runs, s3, name, **KEYS)
    runs.run()
    first = runs.status("b")["artifact"]
    runs.again("b")
    assert runs.status("b")["artifact"] == first
    upstream.put_object(Bucket=name, Key="app/other.yaml", Body=b"two")
    runs.again("b")
    second = runs.status("b")["artifact"]
    assert second["revision"] != first["revision"]
    assert runs.stored("b") == [second["digest"], first["digest"]]


def test_a_failure_keeps_the_last_artifact(runs: Runs, s3: EmbeddedS3, name: str, upstream: S3Client) -> None:
    """With the reason of the failure; the next success takes the condition away."""
    put(runs, s3, name, **KEYS)
    runs.run()
    artifact = runs.status("b")["artifact"]
    runs.secret("keys", accesskey=s3.access_key, secretkey="wrong")
    runs.again("b")
    reason, message = runs.failure("b")
    assert reason == runs.condition("b", "FetchFailed")["reason"] == "AuthenticationFailed"
    assert "wrong" not in message
    assert runs.status("b")["artifact"] == artifact == {k: runs.published("b")[k] for k in artifact}
    runs.secret("keys", accesskey=s3.access_key, secretkey=s3.secret_key)
    runs.again("b")
    assert runs.condition("b")["status"] == "True"
    assert runs.condition("b", "FetchFailed") == {}


def test_a_bucket_by_the_role_of_a_service_account(
    runs: Runs, s3: EmbeddedS3, name: str, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's token of that account becomes keys; neither is in what the run leaves behind."""
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/reader"}
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader", "annotations": role}}
    client.create(f"/api/v1/namespaces/{runs.namespace}/serviceaccounts", body)
    put(runs, s3, name, provider="aws", serviceAccountName="reader")
    # The server takes no keys of a session, so these are without one.
    with scripted_sts(monkeypatch, s3.access_key, s3.secret_key, session="") as forms:
        runs.run()
    assert runs.condition("b")["status"] == "True", runs.condition("b")["message"]
    (form,) = forms
    claims = jwt.decode(form["WebIdentityToken"][0], options={"verify_signature": False})
    assert claims["sub"] == f"system:serviceaccount:{runs.namespace}:reader"
    assert claims["aud"] == ["sts.amazonaws.com"]
    left = f"{runs.status('b')} {runs.published('b')} {runs.events()}"
    assert form["WebIdentityToken"][0] not in left and s3.secret_key not in left


@pytest.mark.parametrize(
    ("spec", "reason", "stalled"),
    [
        ({"bucketName": "absent-bucket", **KEYS}, "BucketOperationFailed", False),
        ({"endpoint": "http://x", **KEYS}, "URLInvalid", True),
        ({}, "AuthenticationFailed", False),
        ({"secretRef": {"name": "absent"}}, "AuthenticationFailed", False),
        ({"certSecretRef": {"name": "keys"}, **KEYS}, "AuthenticationFailed", False),
        ({"certSecretRef": {"name": "nonsense"}, **KEYS}, "AuthenticationFailed", False),
        ({"provider": "gcp"}, "InvalidProviderConfiguration", True),
        ({"provider": "azure"}, "InvalidProviderConfiguration", True),
        ({"provider": "gcp", "serviceAccountName": "x"}, "InvalidProviderConfiguration", True),
        ({"provider": "aws", "serviceAccountName": "x"}, "AuthenticationFailed", False),
        ({"sts": {"provider": "ldap", "endpoint": "https://x"}}, "InvalidSTSConfiguration", True),
        ({"provider": "aws", "bucketName": "fleetbeat"}, "AccessDenied", True),
    ],
)
def test_what_cannot_work_is_said(
    runs: Runs, s3: EmbeddedS3, name: str, spec: dict[str, Any], reason: str, stalled: bool
) -> None:
    """Each with Flux's reason; Stalled where only a person can mend it."""
    runs.secret("nonsense", ca_crt="no certificate")
    put(runs, s3, name, **spec)
    runs.run()
    assert runs.failure("b")[0] == reason
    assert (runs.condition("b", "Stalled").get("status") == "True") is stalled


def test_a_deleted_bucket_takes_its_artifacts_along(runs: Runs, s3: EmbeddedS3, name: str) -> None:
    """Nothing of it stays in the store."""
    put(runs, s3, name, **KEYS)
    runs.run()
    assert len(runs.stored("b")) == 1
    runs.delete("b")
    runs.run()
    assert runs.stored("b") == []
