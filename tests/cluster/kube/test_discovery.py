"""A kind is found as soon as the API server tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from fleetbeat.kube import discovery as module
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.discovery import Discovery
from fleetbeat.kube.errors import NoMatch, NotFound
from tests.support.wait import until

pytestmark = pytest.mark.cluster

_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/latecomers.late.test"
_LATE: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "latecomers.late.test"},
    "spec": {
        "group": "late.test",
        "scope": "Cluster",
        "names": {"kind": "Latecomer", "plural": "latecomers"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}},
        ],
    },
}


def _listed(client: KubeClient) -> bool:
    try:
        answer = orjson.loads(client.request("GET", "/apis/late.test/v1"))
    except NotFound:
        return False
    return any(resource["kind"] == "Latecomer" for resource in answer["resources"])


def _gone(client: KubeClient) -> bool:
    """Neither defined nor served: a definition that is on its way out is still there, and still listed, for a while."""
    try:
        client.request("GET", _CRD)
    except NotFound:
        return not _listed(client)
    return False


@pytest.fixture
def looked_once(client: KubeClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Discovery]:
    """A discovery that has looked before the kind Latecomer came, and will not look at everything again."""
    monkeypatch.setattr(module, "RELOAD_AFTER", 3600.0)
    discovery = Discovery(client)
    discovery.refresh()
    client.apply(_CRD, _LATE, "t")
    until(lambda: _listed(client), message="Latecomer is listed")
    yield discovery
    client.delete(_CRD)
    until(lambda: _gone(client), message="Latecomer is gone")


def test_a_new_kind_is_found_without_another_look_at_everything(looked_once: Discovery) -> None:
    """A kind that came since the last look is found at once, with its path and scope, and is known from then on."""
    for _ in range(2):
        found = looked_once.resource("late.test", "v1", "Latecomer")
        assert (found.path("", "one"), found.namespaced) == ("/apis/late.test/v1/latecomers/one", False)


@pytest.mark.parametrize(("group", "version"), [("late.test", "v1"), ("nowhere.test", "v1"), ("", "v1"), ("apps", "")])
def test_a_kind_that_is_not_served_is_not_found(looked_once: Discovery, group: str, version: str) -> None:
    """Neither in a group that is new, nor in one that is unknown, nor in the core group."""
    with pytest.raises(NoMatch, match="no matches for kind"):
        looked_once.resource(group, version, "Nothing")
