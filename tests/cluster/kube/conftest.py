"""A managed namespace on the shared cluster, and a kind of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.discovery import Discovery
from fleetbeat.kube.target import Target
from tests.support.foreign import SAMPLES, Sample
from tests.support.managed import Managed
from tests.support.wait import until
from tools.clusters import Cluster

GADGETS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gadgets.kube.test"},
    "spec": {
        "group": "kube.test",
        "scope": "Namespaced",
        "names": {"kind": "Gadget", "listKind": "GadgetList", "plural": "gadgets", "singular": "gadget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "replicas": {"type": "integer"},
                                    "color": {"type": "string"},
                                    "mode": {"type": "string", "default": "quiet"},
                                    "list": {"type": "array", "items": {"type": "string"}},
                                    "options": {"type": "object", "additionalProperties": {"type": "string"}},
                                    "ports": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["port"],
                                        "items": {
                                            "type": "object",
                                            "required": ["port"],
                                            "properties": {"port": {"type": "integer"}, "name": {"type": "string"}},
                                        },
                                    },
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture(scope="session")
def client(cluster: Cluster) -> Iterator[KubeClient]:
    """The administrator's client."""
    opened = KubeClient(ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def target(client: KubeClient) -> Target:
    """The shared cluster with the kind Gadget (kube.test/v1)."""
    client.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{GADGETS['metadata']['name']}", GADGETS, "t")

    def served() -> bool:
        discovery = Discovery(client)
        discovery.resource("kube.test", "v1", "Gadget")
        client.get("/apis/kube.test/v1/gadgets")
        return True

    until(lambda: _succeeds(served), message="Gadget is served")
    reached = Target.of(client)
    reached.discovery.refresh()
    return reached


def _succeeds(check: Any) -> bool:
    from fleetbeat.kube.errors import KubeError

    try:
        return bool(check())
    except KubeError:
        return False


@pytest.fixture
def managed(target: Target, cluster: Cluster, namespace: str, tmp_path: Path) -> Managed:
    """An empty managed namespace."""
    return Managed(target, cluster.kubeconfig, namespace, tmp_path)


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> Sample:
    """Each of the kinds that others tamper with."""
    return SAMPLES[request.param]
