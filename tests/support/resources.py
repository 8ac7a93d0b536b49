"""Custom resources on a cluster, written and read as an administrator does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fleetbeat.api.kinds import KINDS
from tests.support.wait import until
from tools.clusters import Cluster


def create(cluster: Cluster, namespace: str, kind: str, name: str, spec: Mapping[str, Any]) -> None:
    """Make a custom resource."""
    known = KINDS[kind]
    meta = {"name": name, "namespace": namespace}
    obj = {"apiVersion": known.api_version, "kind": kind, "metadata": meta, "spec": spec}
    cluster.api("POST", known.path(namespace), obj)


def get(cluster: Cluster, namespace: str, kind: str, name: str) -> dict[str, Any]:
    """A custom resource as it is."""
    found: dict[str, Any] = cluster.api("GET", KINDS[kind].path(namespace, name))
    return found


def wait_ready(
    cluster: Cluster, namespace: str, kind: str, name: str, told: Callable[[], str], timeout: float = 120.0
) -> dict[str, Any]:
    """Wait until a resource is Ready and return it; `told` says more when it does not become so."""

    def look() -> dict[str, Any]:
        found = get(cluster, namespace, kind, name)
        conditions = {one["type"]: one for one in found.get("status", {}).get("conditions", ())}
        return found if conditions.get("Ready", {}).get("status") == "True" else {}

    try:
        return until(look, timeout=timeout, message=f"{kind} {name} is Ready")
    except AssertionError as error:
        status = get(cluster, namespace, kind, name).get("status")
        raise AssertionError(f"{error}\n{status}\n{told()}") from None
