"""Azure's AKS clusters that a ConfigMap describes, through the vendor's SDK and scripted answers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from fleetbeat.kube.access import Described, config_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig, Unauthorized
from tests.support.fakeregistry import FakeRegistry, Reply
from tests.support.scriptedhub import scripted_hub
from tests.support.vendorapis import AKS, answer, kubeconfig, scripted_azure

pytestmark = pytest.mark.unit

HUB = KubeClient(ClusterConfig("http://127.0.0.1:1"))
"""Nobody answers there."""
ACCOUNT = {"azure.workload.identity/tenant-id": "tenant", "azure.workload.identity/client-id": "client"}


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeRegistry]:
    """Azure, with a cluster of two addresses."""
    with scripted_azure(monkeypatch, tmp_path) as vendor:
        found = [kubeconfig(f"https://{host}:443", b"pem") for host in ("prod.azmk8s.io", "prod.privatelink.azmk8s.io")]
        vendor.on(f"{AKS}/listClusterUserCredential", answer({"kubeconfigs": found}))
        yield vendor


def reach(hub: KubeClient = HUB, cluster: str = AKS, **keys: str) -> ClusterConfig:
    return config_of(hub, "apps", Described("azure", cluster, **keys))


def test_azure_says_where_its_cluster_is(azure: FakeRegistry) -> None:
    """Its management is shown a token of its own; the cluster gets one for AKS, and nobody's login tool runs."""
    config = reach()
    assert (config.server, config.ca) == ("https://prod.azmk8s.io:443", b"pem")
    assert config.token is not None
    assert config.token() == "own 6dae42f8-4368-4678-94ff-3960e28e3630"
    asked = [request for request in azure.seen if request.path.startswith(AKS)]
    assert [(one.method, one.query) for one in asked] == [
        ("GET", "api-version=2024-05-01"),
        ("POST", "api-version=2024-05-01"),
    ]
    assert {one.headers["authorization"] for one in asked} == {f"Bearer own https://{azure.host}"}
    assert reach(address="prod.privatelink.azmk8s.io").server == "https://prod.privatelink.azmk8s.io:443"


def test_a_service_account_logs_in_as_its_identity(azure: FakeRegistry) -> None:
    """By its own token, which is good for that exchange alone."""
    with scripted_hub(ACCOUNT) as hub:
        config = reach(hub, account="fleet", address="proxy.example.com", ca="own")
        assert config.token is not None
        assert config.token() == "exchanged"
    (exchange,) = [parse_qs(one.body.decode()) for one in azure.seen if one.method == "POST"]
    assert exchange["client_assertion"] == ["for-api://AzureADTokenExchange"]
    assert exchange["client_id"] == ["client"]
    assert exchange["scope"] == ["6dae42f8-4368-4678-94ff-3960e28e3630/.default"]
    assert config.server == "https://proxy.example.com:443"


@pytest.mark.parametrize("missing", ACCOUNT)
def test_a_service_account_without_an_identity(azure: FakeRegistry, missing: str) -> None:
    """The message names the annotation; the worker's own identity does not stand in."""
    annotations = {name: value for name, value in ACCOUNT.items() if name != missing}
    message = f"apps/fleet has no annotation {missing}"
    with scripted_hub(annotations) as hub, pytest.raises(InvalidKubeconfig, match=message):
        reach(hub, account="fleet")
    assert azure.seen == []


@pytest.mark.parametrize(
    "cluster",
    ["", "prod", f"{AKS}/agentPools/x", f"{AKS}?x", AKS.replace("Service", "Registry"), AKS.replace("/fleet/", "/../")],
)
def test_the_cluster_is_a_resource_id(azure: FakeRegistry, cluster: str) -> None:
    """It becomes a path, so nothing else passes."""
    with pytest.raises(InvalidKubeconfig, match="cluster is not the resource id of an AKS cluster"):
        reach(cluster=cluster)
    assert azure.seen == []


def test_a_cluster_without_entra(azure: FakeRegistry) -> None:
    """Would take no token of Azure."""
    azure.on(AKS, answer({"properties": {}}))
    with pytest.raises(InvalidKubeconfig, match="AKS cluster prod has no Microsoft Entra integration"):
        reach()


@pytest.mark.parametrize("value", ["", "?", base64.b64encode(b"a: [").decode(), base64.b64encode(b"{}").decode()])
def test_a_kubeconfig_that_cannot_be_read(azure: FakeRegistry, value: str) -> None:
    """Is an error, not a crash."""
    azure.on(f"{AKS}/listClusterUserCredential", answer({"kubeconfigs": [{"value": value}]}))
    with pytest.raises(InvalidKubeconfig, match="kubeconfig"):
        reach()


def test_a_worker_without_an_identity(azure: FakeRegistry) -> None:
    """Is told soon, and without what was answered."""
    azure.on("/identity", Reply(400, body=b"hidden"))
    with pytest.raises(Unauthorized, match="AKS: no login") as caught:
        reach()
    assert "hidden" not in caught.value.message


def test_another_cloud(azure: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clusters are found where no management is known by giving address and authority."""
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "login.example.com")
    with pytest.raises(InvalidKubeconfig, match=r"login\.example\.com belongs to no known cloud"):
        reach()
