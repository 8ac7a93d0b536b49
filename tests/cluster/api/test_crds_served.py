"""The CRDs on a real API server: it takes every field, sets defaults, and refuses what contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.api.crds import crd
from fleetbeat.api.decode import decode
from fleetbeat.api.kinds import KINDS, Kind
from tests.support.samples import full, least
from tests.support.wait import until
from tools.apiclient import ApiError
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
APPLY = "application/apply-patch+yaml"

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture(scope="module")
def hub(cluster: Cluster) -> Cluster:
    """The shared cluster with all CRDs served."""
    names = [_apply(cluster, crd(kind)) for kind in KINDS.values()]
    until(lambda: all(_established(cluster, name) for name in names), timeout=60, message="CRDs Established")
    return cluster


def _apply(cluster: Cluster, definition: dict[str, Any]) -> str:
    name: str = definition["metadata"]["name"]
    cluster.api("PATCH", f"{CRDS}/{name}?fieldManager=fleetbeat&force=true", definition, APPLY)
    return name


def _conditions(cluster: Cluster, name: str) -> dict[str, str]:
    live = cluster.api("GET", f"{CRDS}/{name}")
    return {c["type"]: c["status"] for c in (live.get("status") or {}).get("conditions") or []}


def _established(cluster: Cluster, name: str) -> bool:
    return _conditions(cluster, name).get("Established") == "True"


def _create(hub: Cluster, kind: Kind, obj: dict[str, Any]) -> dict[str, Any]:
    path = kind.path(obj["metadata"]["namespace"])
    created: dict[str, Any] = hub.api("POST", f"{path}?fieldValidation=Strict", obj)
    return created


@every_kind
def test_the_schema_is_structural_and_all_names_are_accepted(hub: Cluster, kind: Kind) -> None:
    """No name collides, no schema rule is violated."""
    conditions = _conditions(hub, f"{kind.plural}.{kind.group}")
    assert conditions.get("NonStructuralSchema", "False") == "False"
    assert conditions["NamesAccepted"] == "True"


@every_kind
def test_every_field_is_stored(hub: Cluster, kind: Kind, namespace: str) -> None:
    """Strict validation takes an object with all fields; none is pruned, and our Structs read it."""
    obj = full(kind, namespace=namespace)
    created = _create(hub, kind, obj)
    assert created["spec"] == obj["spec"]
    assert decode(kind, created).metadata.uid == created["metadata"]["uid"]
    if kind.has_status:
        path = kind.path(namespace, "full", "status")
        written = hub.api("PATCH", f"{path}?fieldValidation=Strict", {"status": obj["status"]})
        assert written["status"] == obj["status"]
        assert decode(kind, written).status == decode(kind, obj).status


@every_kind
def test_the_api_server_and_we_agree_on_defaults(hub: Cluster, kind: Kind, namespace: str) -> None:
    """An object with no more than is required reads the same before and after the server's defaults."""
    obj = least(kind, namespace=namespace)
    created = _create(hub, kind, obj)
    assert decode(kind, created).spec == decode(kind, obj).spec
    assert decode(kind, created).status == decode(kind, obj).status


def test_a_new_kustomization_has_interval_and_status(hub: Cluster, namespace: str) -> None:
    """Both are there before anything has run."""
    created = _create(hub, KINDS["Kustomization"], least(KINDS["Kustomization"], namespace=namespace))
    assert created["spec"]["interval"] == "5m"
    assert created["status"] == {"observedGeneration": -1}


NAME = {"name": "x"}
COPY = [{"from": "@app/", "to": "@artifact/"}]
CHART = {"spec": {"chart": "x", "sourceRef": {"kind": "Bucket", "name": "x"}}}
STS = {"provider": "ldap", "endpoint": "https://sts.example.org"}
OIDC = {
    "issuerURL": "https://issuer.example.org",
    "validations": [{"expression": "true", "message": "never"}],
}


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("Kustomization", {"interval": "5 minutes"}, "spec.interval"),
        ("Kustomization", {"kubeConfig": {}}, "exactly one of configMapRef and secretRef"),
        ("Kustomization", {"kubeConfig": {"secretRef": NAME, "configMapRef": NAME}}, "exactly one of configMapRef"),
        ("Kustomization", {"sourceRef": {"kind": "HelmChart", "name": "x"}}, "spec.sourceRef.kind"),
        ("GitRepository", {"url": "git@example.org:repo"}, "spec.url"),
        ("GitRepository", {"timeout": "1h"}, "spec.timeout"),
        ("GitRepository", {"serviceAccountName": "x"}, "provider aws or azure only"),
        ("GitRepository", {"serviceAccountName": "x", "provider": "github"}, "provider aws or azure only"),
        ("HelmChart", {"verify": {}, "sourceRef": {"kind": "Bucket", "name": "x"}}, "charts of a HelmRepository only"),
        ("Bucket", {"sts": STS, "provider": "aws"}, "spec.sts.provider is aws with spec.provider aws"),
        ("Bucket", {"sts": STS, "provider": "gcp"}, "other providers take no spec.sts"),
        ("Bucket", {"sts": STS | {"provider": "aws"}}, "spec.sts.provider is aws with spec.provider aws"),
        ("Bucket", {"sts": STS | {"provider": "aws", "secretRef": NAME}, "provider": "aws"}, "STS provider ldap only"),
        ("Bucket", {"serviceAccountName": "x"}, "not for provider generic"),
        ("Bucket", {"serviceAccountName": "x", "secretRef": NAME, "provider": "aws"}, "exclude each other"),
        (
            "ArtifactGenerator",
            {"artifacts": [{"name": "{app}", "copy": COPY}]},
            "the name of a Kubernetes object",
        ),
        ("HelmRelease", {"chart": CHART}, "exactly one of chart and chartRef"),
        ("HelmRelease", {"chartRef": None}, "exactly one of chart and chartRef"),
        (
            "HelmRelease",
            {"install": {"strategy": {"name": "RemediateOnFailure", "retryInterval": "1m"}}},
            "strategy RetryOnFailure only",
        ),
        (
            "HelmRelease",
            {"upgrade": {"strategy": {"name": "RemediateOnFailure", "retryInterval": "1m"}}},
            "strategy RetryOnFailure only",
        ),
        ("Receiver", {"secretRef": None}, "needs spec.secretRef"),
        ("Receiver", {"type": "generic-oidc", "secretRef": None}, "needs spec.oidcProviders"),
        ("Receiver", {"type": "generic-oidc", "oidcProviders": [OIDC]}, "needs spec.secretRef"),
        ("Receiver", {"oidcProviders": [OIDC]}, "needs spec.oidcProviders"),
        ("Receiver", {"type": "generic-oidc", "secretRef": None, "oidcProviders": [OIDC, OIDC]}, "Duplicate value"),
        ("Provider", {"type": "slack", "commitStatusExpr": "'x'"}, "Git services with a commit status only"),
        ("ImagePolicy", {"interval": "1m"}, "digestReflectionPolicy Always"),
        ("ImagePolicy", {"digestReflectionPolicy": "Always"}, "needs spec.interval"),
    ],
)
def test_what_contradicts_itself_is_refused(
    hub: Cluster, namespace: str, name: str, spec: dict[str, Any], message: str
) -> None:
    """The API server answers 422 and names the field or the rule."""
    obj = least(KINDS[name], namespace=namespace)
    obj["spec"] |= spec
    obj["spec"] = {key: value for key, value in obj["spec"].items() if value is not None}
    with pytest.raises(ApiError, match=message) as raised:
        _create(hub, KINDS[name], obj)
    assert raised.value.status == 422


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("Bucket", {"sts": STS}),
        ("Bucket", {"sts": STS | {"provider": "aws"}, "provider": "aws"}),
        ("Bucket", {"serviceAccountName": "x", "provider": "gcp"}),
        ("GitRepository", {"serviceAccountName": "x", "provider": "azure"}),
        ("HelmRelease", {"install": {"strategy": {"name": "RetryOnFailure", "retryInterval": "1m"}}}),
        ("ImagePolicy", {"digestReflectionPolicy": "Always", "interval": "1m"}),
        ("ImagePolicy", {"digestReflectionPolicy": "IfNotPresent"}),
        ("Kustomization", {"kubeConfig": {"configMapRef": NAME}}),
        ("Provider", {"type": "gitea", "commitStatusExpr": "'x'"}),
        ("Receiver", {"oidcProviders": []}),
        ("Receiver", {"type": "generic-oidc", "secretRef": None, "oidcProviders": [OIDC]}),
    ],
)
def test_what_agrees_with_itself_is_taken(hub: Cluster, namespace: str, name: str, spec: dict[str, Any]) -> None:
    """The rules refuse no more than they should."""
    obj = least(KINDS[name], namespace=namespace)
    obj["spec"] |= spec
    obj["spec"] = {key: value for key, value in obj["spec"].items() if value is not None}
    assert _create(hub, KINDS[name], obj)["metadata"]["uid"]
