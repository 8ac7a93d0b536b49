"""HelmCharts with spec.verify: a chart of a registry is used only if it is signed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetbeat.api.kinds import KINDS
from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile import helmchart
from fleetbeat.reconcile.context import Context
from tests.support.cosigned import public_pem
from tests.support.ociapp import OciApp
from tests.support.runs import Runs
from tests.support.sigstore import new_key
from tools.chartserver import helm, write_chart
from tools.clusters import Cluster
from tools.registry import RegistryServer
from workers.cli.connect import Access
from workers.up import prepare

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that asks nobody."""
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def runs(ctx: Context, client: KubeClient, namespace: str, cluster: Cluster, registry: RegistryServer) -> Runs:
    """The HelmRepository `charts`, of the registry, and no HelmChart yet."""
    prepare(Access(cluster.kubeconfig, None, "flux-system"))
    kind = KINDS["HelmRepository"]
    spec = {"type": "oci", "url": f"oci://{registry.host}/{namespace}", "insecure": True}
    obj = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "charts"}, "spec": spec}
    client.apply(kind.path(namespace, "charts"), obj, "user")
    return Runs(ctx, client, namespace, {"HelmChart": helmchart.PIPELINE})


@pytest.fixture
def app(runs: Runs, registry: RegistryServer, tmp_path: Path) -> OciApp:
    """The chart `app` 1.0.0 as helm pushed it, unsigned."""
    folder = write_chart(tmp_path / "app", "app", "1.0.0")
    helm("package", str(folder), "-d", str(tmp_path))
    helm("push", str(tmp_path / "app-1.0.0.tgz"), f"oci://{registry.host}/{runs.namespace}", "--plain-http")
    return OciApp(registry, f"{runs.namespace}/app")


def trust(runs: Runs, pem: bytes) -> None:
    """The Secret `keys` holds exactly this key."""
    runs.secret("keys", cosign_pub=pem.decode())


def test_a_chart_comes_in_when_it_is_signed_and_a_key_that_changes_takes_effect(runs: Runs, app: OciApp) -> None:
    """Unsigned it stays out; signed it is verified once, again when the Secret changes, and stays published then."""
    key, target = new_key(), app.tagged("1.0.0")
    trust(runs, public_pem(key))
    verify = {"provider": "cosign", "secretRef": {"name": "keys"}}
    source = {"kind": "HelmRepository", "name": "charts"}
    runs.put("HelmChart", "app", chart="app", version="1.x", sourceRef=source, verify=verify)
    runs.run()
    assert runs.failure("app")[0] == "ChartVerificationError"
    assert "has no signature" in runs.condition("app", "SourceVerified")["message"]
    app.sign(target, key)
    runs.again("app")
    told, asked = runs.condition("app", "SourceVerified"), app.looked_up()
    assert told["message"] == f"verified signature of revision {target.digest} by key cosign.pub"
    before = runs.published("app")
    assert before["revision"] == "1.0.0"
    runs.again("app")
    assert app.looked_up() == asked
    assert runs.condition("app", "SourceVerified") == told
    trust(runs, public_pem(new_key()))
    runs.again("app")
    assert runs.condition("app", "SourceVerified")["status"] == "False"
    assert "made by none of the keys" in runs.failure("app")[1]
    assert runs.published("app") == before
