"""What admission denies: each refused object is named, and nothing of its stage is written unless that is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleetbeat.api.refs import ObjectId
from fleetbeat.kube.apply import ApplyFailed
from fleetbeat.kube.errors import KubeError
from tests.support.managed import Managed, Object, config_map, crd
from tests.support.wait import until
from tests.support.webhook import REFUSED, refusing

pytestmark = pytest.mark.cluster


def bad(managed: Managed, name: str) -> Object:
    return config_map(managed, name, **{REFUSED: "yes"})


@pytest.fixture
def webhook(managed: Managed) -> Iterator[str]:
    """A real validating webhook, in force."""
    with refusing(managed.client, managed.namespace) as name:
        until(lambda: _denied(managed), message="the webhook denies")
        yield name


def _denied(managed: Managed) -> bool:
    collection = managed.path(config_map(managed)).rpartition("/")[0]
    try:
        managed.client.create(collection, bad(managed, "probe"), {"dryRun": "All"})
    except KubeError as error:
        return "rule of this house" in error.message
    return False


@pytest.fixture
def quota(managed: Managed) -> None:
    """A quota without room for any Secret, known to the API server."""
    path = f"/api/v1/namespaces/{managed.namespace}/resourcequotas"
    spec = {"hard": {"count/secrets": "0"}}
    managed.client.create(path, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": spec})
    until(lambda: (managed.client.get(f"{path}/q").get("status") or {}).get("hard"), message="the quota is counted")


def secret(managed: Managed, name: str) -> Object:
    metadata = {"name": name, "namespace": managed.namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {}}


def test_a_webhooks_denials_stop_the_stage(managed: Managed, webhook: str) -> None:
    """All of them are told, with hook and reason, and none of the stage's objects is written."""
    good = config_map(managed, "good")
    with pytest.raises(ApplyFailed) as failed:
        managed.apply(good, bad(managed, "one"), bad(managed, "two"))
    assert failed.value.message.splitlines() == [
        f'ConfigMap/{managed.namespace}/{name} dry-run failed: admission webhook "{webhook}" '
        f"denied the request: {name} breaks the rule of this house"
        for name in ("one", "two")
    ]
    assert not managed.exists(good)
    assert failed.value.result.changes == ()


def test_a_quotas_denials_stop_the_stage(managed: Managed, quota: None) -> None:
    """Every object that the quota has no room for is told, and the others of the stage are not written."""
    good = config_map(managed, "good")
    with pytest.raises(ApplyFailed) as failed:
        managed.apply(good, secret(managed, "one"), secret(managed, "two"))
    lines = failed.value.message.splitlines()
    assert [line.partition(" dry-run failed (Forbidden): ")[0] for line in lines] == [
        f"Secret/{managed.namespace}/{name}" for name in ("one", "two")
    ]
    assert all("exceeded quota: q" in line for line in lines)
    assert not managed.exists(good)


def test_a_lone_denied_object_is_told_the_same_way(managed: Managed, webhook: str) -> None:
    """A change of one known object, written without a dry run first, is refused in the same words."""
    managed.one(config_map(managed))
    with pytest.raises(ApplyFailed, match=r"sample dry-run failed: admission webhook"):
        managed.one(bad(managed, "sample"))
    assert managed.live(config_map(managed))["data"] == {"color": "red"}


def test_valid_objects_are_applied_where_that_is_asked_for(managed: Managed, webhook: str, quota: None) -> None:
    """The others are named, in whichever stage; nothing that was refused is touched."""
    managed.apply(config_map(managed, "one", color="red"))
    good = config_map(managed, "good")
    unknown = {"apiVersion": "none.test/v1", "kind": "Nothing", "metadata": {"name": "x"}}
    wrong = crd(f"{managed.namespace}.kube.test")
    wrong["spec"] = {**wrong["spec"], "scope": "Nowhere"}
    with pytest.raises(ApplyFailed) as failed:
        managed.apply(wrong, good, bad(managed, "one"), secret(managed, "two"), unknown, valid=True)
    assert [line.partition(" dry-run failed")[0] for line in failed.value.message.splitlines()] == [
        str(ObjectId.of(wrong)),
        "Nothing/x",
        f"ConfigMap/{managed.namespace}/one",
        f"Secret/{managed.namespace}/two",
    ]
    assert [(change.id.name, change.action) for change in failed.value.result.changes] == [("good", "created")]
    assert managed.live(good)["data"] == good["data"]
    assert managed.live(config_map(managed, "one"))["data"] == {"color": "red"}


def test_a_write_that_fails_after_its_dry_run_stops_no_valid_one(managed: Managed) -> None:
    """A quota with room for one Secret passes every dry run and one write: the rest is told, the next wave goes on."""
    path = f"/api/v1/namespaces/{managed.namespace}/resourcequotas"
    kind = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}}
    managed.client.create(path, {**kind, "spec": {"hard": {"count/secrets": "1"}}})
    until(lambda: (managed.client.get(f"{path}/q").get("status") or {}).get("hard"), message="the quota is counted")
    metadata = {"name": "late", "namespace": managed.namespace}
    backend = {"defaultBackend": {"service": {"name": "x", "port": {"number": 80}}}}
    late = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": backend}
    secrets = [secret(managed, name) for name in ("one", "two", "three")]
    with pytest.raises(ApplyFailed) as failed:
        managed.apply(*secrets, late, valid=True)
    lines = failed.value.message.splitlines()
    assert len(lines) == 2
    assert all("apply failed (Forbidden)" in line and "exceeded quota" in line for line in lines)
    assert managed.exists(late)
    assert sum(managed.exists(obj) for obj in secrets) == 1
