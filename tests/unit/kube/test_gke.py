"""Google's GKE clusters that a ConfigMap describes, through the vendor's SDK and scripted answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from fleetbeat.kube import vendorlogins
from fleetbeat.kube.access import Described, config_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig, Unauthorized
from tests.support.fakeregistry import FakeRegistry, Reply
from tests.support.scriptedhub import scripted_hub
from tests.support.vendorapis import GKE, GOOGLE_ACCOUNT, answer, scripted_google

pytestmark = pytest.mark.unit

PROVIDER = "projects/123/locations/global/workloadIdentityPools/pool/providers/hub"
HUB = KubeClient(ClusterConfig("http://127.0.0.1:1"))
"""Nobody answers there."""
CLUSTER = {
    "endpoint": "34.0.0.1",
    "masterAuth": {"clusterCaCertificate": "cGVt"},
    "privateClusterConfig": {"privateEndpoint": "10.0.0.2", "publicEndpoint": "34.0.0.1"},
    "controlPlaneEndpointsConfig": {"dnsEndpointConfig": {"endpoint": "gke-1.europe-west1.gke.goog"}},
}


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeRegistry]:
    """Google, with a cluster of three addresses."""
    with scripted_google(monkeypatch, tmp_path) as vendor:
        vendor.on(f"/v1/{GKE}", answer(CLUSTER))
        yield vendor


def reach(hub: KubeClient = HUB, cluster: str = GKE, **keys: str) -> ClusterConfig:
    return config_of(hub, "apps", Described("gcp", cluster, **keys))


def token(config: ClusterConfig) -> str:
    assert config.token is not None
    return config.token()


def test_google_says_where_its_cluster_is(google: FakeRegistry) -> None:
    """One token opens Google's API and the cluster."""
    config = reach()
    assert (config.server, config.ca, token(config)) == ("https://34.0.0.1:443", b"pem", "own")
    (asked,) = [one for one in google.seen if one.path == f"/v1/{GKE}"]
    assert asked.headers["authorization"] == "Bearer own"


@pytest.mark.parametrize(
    ("address", "server", "ca"),
    [
        ("10.0.0.2", "https://10.0.0.2:443", b"pem"),
        ("gke-1.europe-west1.gke.goog", "https://gke-1.europe-west1.gke.goog:443", None),
    ],
)
def test_its_other_addresses(google: FakeRegistry, address: str, server: str, ca: bytes | None) -> None:
    """May be named, also for the worker's own identity; that by DNS has a certificate of Google's."""
    config = reach(address=address)
    assert (config.server, config.ca) == (server, ca)


def test_a_service_account_through_a_provider(google: FakeRegistry) -> None:
    """Its own token, for that provider alone, is exchanged for access, and that for the Google account's."""
    with scripted_hub({vendorlogins.PROVIDER: PROVIDER, vendorlogins.GOOGLE_ACCOUNT: GOOGLE_ACCOUNT}) as hub:
        assert token(reach(hub, account="fleet", address="proxy.example.com", ca="own")) == "deployer"
    exchange, impersonation = google.seen
    form = parse_qs(exchange.body.decode())
    assert form["audience"] == [f"//iam.googleapis.com/{PROVIDER}"]
    assert form["subject_token"] == [f"for-//iam.googleapis.com/{PROVIDER}"]
    assert impersonation.headers["authorization"] == "Bearer exchanged"


def test_a_service_account_of_a_gke_cluster(google: FakeRegistry) -> None:
    """Its provider is that of the cluster that the worker runs in, of which the metadata server knows."""
    for name, value in (
        ("project/project-id", b"fleet"),
        ("instance/attributes/cluster-location", b"europe-west1"),
        ("instance/attributes/cluster-name", b"hub"),
    ):
        google.on(f"/computeMetadata/v1/{name}", Reply(200, {"Metadata-Flavor": "Google"}, value))
    with scripted_hub({}) as hub:
        assert token(reach(hub, account="fleet", address="proxy.example.com", ca="own")) == "exchanged"
    form = parse_qs(google.seen[-1].body.decode())
    issuer = "https://container.googleapis.com/v1/projects/fleet/locations/europe-west1/clusters/hub"
    assert form["audience"] == [f"identitynamespace:fleet.svc.id.goog:{issuer}"]
    assert form["subject_token"] == ["for-fleet.svc.id.goog"]
    assert {one.headers.get("metadata-flavor") for one in google.seen[:3]} == {"Google"}


def test_a_service_account_without_a_provider(google: FakeRegistry) -> None:
    """Outside of Google's clusters the annotation is needed; the worker's own identity does not stand in."""
    with (
        scripted_hub({vendorlogins.GOOGLE_ACCOUNT: GOOGLE_ACCOUNT}) as hub,
        pytest.raises(Unauthorized, match=vendorlogins.PROVIDER),
    ):
        reach(hub, account="fleet")


@pytest.mark.parametrize(
    "annotations",
    [
        {vendorlogins.PROVIDER: "projects/p/x"},
        {vendorlogins.PROVIDER: f"{PROVIDER}/../x"},
        {vendorlogins.PROVIDER: PROVIDER, vendorlogins.GOOGLE_ACCOUNT: "x/../y@fleet.iam.gserviceaccount.com"},
    ],
)
def test_annotations_of_another_form(google: FakeRegistry, annotations: dict[str, str]) -> None:
    """They become parts of URLs, so nothing else passes."""
    with scripted_hub(annotations) as hub, pytest.raises(InvalidKubeconfig, match="is not of the form"):
        reach(hub, account="fleet")
    assert google.seen == []


@pytest.mark.parametrize("cluster", ["", "prod", f"{GKE}/nodePools/x", GKE.replace("fleet", ".."), f"{GKE}?x"])
def test_the_cluster_is_its_full_name(google: FakeRegistry, cluster: str) -> None:
    """It becomes a path, so nothing else passes."""
    with pytest.raises(InvalidKubeconfig, match="cluster is not the name of a GKE cluster"):
        reach(cluster=cluster)
    assert google.seen == []


def test_a_cluster_that_is_being_made(google: FakeRegistry) -> None:
    """Has neither address nor authority."""
    google.on(f"/v1/{GKE}", answer({"status": "PROVISIONING"}))
    with pytest.raises(InvalidKubeconfig, match="has no endpoint yet"):
        reach()
