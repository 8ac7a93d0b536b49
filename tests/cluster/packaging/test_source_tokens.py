"""Tokens of service accounts for the source role: which rights of the chart, or of an operator's own, they need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.kube import vendorlogins
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import Forbidden
from fleetbeat.reconcile.cloudlogin import CloudLogin, source_login
from tests.support.chart import Release
from tests.support.vendorapis import scripted_sts
from tests.support.wait import until
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLE = "arn:aws:iam::123456789012:role/sources"
DEFAULTS, WITH_TOKENS = (), ("sourceServiceAccountTokens=true",)


@pytest.fixture
def client(cluster: Cluster) -> Iterator[KubeClient]:
    """The administrator's; two accounts are there that have a role at AWS."""
    opened = KubeClient(ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True))
    yield opened
    opened.close()


@pytest.fixture
def granted(client: KubeClient, namespace: str, request: pytest.FixtureRequest) -> Iterator[KubeClient]:
    """A source worker with what the chart gives it for these values."""
    for name in ("deployer", "other"):
        meta = {"name": name, "annotations": {vendorlogins.ROLE: ROLE}}
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
        client.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", body)
    made = []
    for obj in of_source(Release.render(*request.param, name=namespace, namespace=namespace), namespace):
        path = f"{RBAC}/{obj['kind'].lower()}s"
        client.create(path, obj)
        made.append(f"{path}/{obj['metadata']['name']}")
    worker = client.impersonate(f"system:serviceaccount:{namespace}:{namespace}-source")
    until(lambda: reads(worker, namespace), message="the bindings count")
    yield worker
    for path in made:
        client.delete(path)


def of_source(release: Release, namespace: str) -> list[dict[str, Any]]:
    """The chart's bindings of the source role, and the roles that they name."""
    bindings = [
        binding
        for binding in release.of("ClusterRoleBinding").values()
        if any(subject["name"] == f"{namespace}-source" for subject in binding["subjects"])
    ]
    return [*(release.of("ClusterRole")[binding["roleRef"]["name"]] for binding in bindings), *bindings]


def reads(worker: KubeClient, namespace: str) -> bool:
    try:
        worker.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/deployer")
    except Forbidden:
        return False
    return True


def login(worker: KubeClient, namespace: str, account: str = "deployer") -> CloudLogin:
    found = source_login(worker, namespace, account)
    assert found is not None
    return found


def in_role(worker: KubeClient, namespace: str) -> bool:
    """Whether the account gets its role."""
    try:
        login(worker, namespace).aws("eu-west-1")
    except AuthenticationFailed:
        return False
    return True


@pytest.mark.parametrize("granted", [WITH_TOKENS], indirect=True)
def test_the_value_of_the_chart(granted: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the source role tokens of service accounts."""
    with scripted_sts(monkeypatch):
        until(lambda: in_role(granted, namespace), message="the right to tokens")


@pytest.mark.parametrize("granted", [DEFAULTS], indirect=True)
def test_without_it(granted: KubeClient, client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names right and value; a Role in the tenant's namespace gives the tokens of one account alone."""
    missing = r'cannot create resource "serviceaccounts/token".*sourceServiceAccountTokens'
    with scripted_sts(monkeypatch) as forms:
        with pytest.raises(AuthenticationFailed, match=missing):
            login(granted, namespace).aws("eu-west-1")
        assert forms == []
        rule = {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}
        meta = {"name": "tokens", "namespace": namespace}
        role = {"metadata": meta, "rules": [rule | {"resourceNames": ["deployer"]}]}
        subject = {"kind": "ServiceAccount", "name": f"{namespace}-source", "namespace": namespace}
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tokens"}
        binding = {"metadata": meta, "roleRef": ref, "subjects": [subject]}
        head = {"apiVersion": "rbac.authorization.k8s.io/v1"}
        client.create(f"{RBAC}/namespaces/{namespace}/roles", {**head, "kind": "Role", **role})
        client.create(f"{RBAC}/namespaces/{namespace}/rolebindings", {**head, "kind": "RoleBinding", **binding})
        until(lambda: in_role(granted, namespace), message="the right to tokens")
        with pytest.raises(AuthenticationFailed, match=missing):
            login(granted, namespace, "other").aws("eu-west-1")
