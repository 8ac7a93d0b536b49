"""Credentials against a real API server, and what a person is told when they do not work."""

from __future__ import annotations

import datetime

import pytest

from fleetbeat.kube import discovery as module
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.discovery import Discovery
from fleetbeat.kube.errors import Forbidden, NoMatch, Unauthorized, Unreachable
from fleetbeat.kube.target import Target
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def whoami(client: KubeClient) -> str:
    return str(client.create(REVIEW, {})["status"]["userInfo"]["username"])


def untrusted(data: dict[str, object]) -> KubeClient:
    return KubeClient(ClusterConfig.from_kubeconfig(data, trusted=False))


def test_certificates_and_tokens(cluster: Cluster, namespace: str) -> None:
    """Both kinds of credential of a tenant's kubeconfig work."""
    assert whoami(untrusted(cluster.user_kubeconfig("someone", []))) == "someone"
    token = untrusted(cluster.token_kubeconfig(namespace, "default"))
    assert whoami(token) == f"system:serviceaccount:{namespace}:default"


def test_impersonation_gives_service_accounts_their_groups(client: KubeClient, namespace: str) -> None:
    """A tenant acts with the rights of its account and its namespace's, as if it had logged in."""
    user = f"system:serviceaccount:{namespace}:tenant"
    answer = client.impersonate(user).create(REVIEW, {})["status"]["userInfo"]
    assert answer["username"] == user
    assert f"system:serviceaccounts:{namespace}" in answer["groups"]
    with pytest.raises(Forbidden, match=f'User "{user}" cannot list'):
        client.impersonate(user).list("/api/v1/secrets")


def test_an_expired_certificate_says_when(cluster: Cluster) -> None:
    """The API server says Unauthorized; we say which certificate, since when and what to do."""
    expired = untrusted(cluster.user_kubeconfig("late", ["system:masters"], datetime.timedelta(days=-1)))
    with pytest.raises(Unauthorized, match=r"the client certificate expired at \d{4}-.*; renew it"):
        expired.get("/api/v1/namespaces")


def test_a_bad_token_says_so(cluster: Cluster, namespace: str) -> None:
    """A token that is not accepted is told apart from one that may not."""
    data = cluster.token_kubeconfig(namespace, "default")
    data["users"][0]["user"]["token"] += "x"
    with pytest.raises(Unauthorized, match="credentials were refused"):
        untrusted(data).get("/api/v1/namespaces")


def test_another_clusters_certificate_is_not_trusted(cluster: Cluster) -> None:
    """The CA of the kubeconfig is the only one trusted."""
    config = ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True)
    strange = ClusterConfig(config.server, client_cert=config.client_cert, client_key=config.client_key)
    with pytest.raises(Unreachable, match="certificate is not trusted"):
        KubeClient(strange).get("/api/v1/namespaces")


def test_kinds_are_found(target: Target) -> None:
    """Built-in and custom kinds, in their version and in whichever is preferred; unknown ones are named."""
    find = target.discovery.resource
    assert find("", "v1", "ConfigMap").path("a", "b") == "/api/v1/namespaces/a/configmaps/b"
    assert find("apps", "", "Deployment").path("a", "b", "status") == "/apis/apps/v1/namespaces/a/deployments/b/status"
    assert find("", "v1", "Namespace").path("", "a") == "/api/v1/namespaces/a"
    assert find("kube.test", "", "Gadget").api_version == "kube.test/v1"
    with pytest.raises(NoMatch, match='no matches for kind "Deployment" in version "apps/v1beta9"'):
        find("apps", "v1beta9", "Deployment")


def test_discovery_asks_rarely(client: KubeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests for everything; a missing kind costs one for its version, and none for everything again."""
    monkeypatch.setattr(module, "RELOAD_AFTER", 3600.0)
    client.stats.clear()
    discovery = Discovery(client)
    for _ in range(5):
        discovery.resource("apps", "v1", "Deployment")
    assert client.stats.total() == 2
    for _ in range(5):
        with pytest.raises(NoMatch):
            discovery.resource("none.test", "v1", "Nothing")
    assert client.stats.total() == 7
