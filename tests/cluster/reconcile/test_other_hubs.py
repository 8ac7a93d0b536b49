"""Another hub with a Kustomization of the same name on one cluster, through whole runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.kube import ledger
from fleetbeat.kube.errors import NotFound
from fleetbeat.kube.ledger import Ledger, LedgerEntry
from tests.support.deployed import Deployed

pytestmark = pytest.mark.cluster


def manifest(deployed: Deployed, name: str) -> str:
    meta = {"name": name, "namespace": deployed.namespace}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"color": "red"}})


def exists(deployed: Deployed, name: str) -> bool:
    try:
        found = deployed.client.get(f"/api/v1/namespaces/{deployed.namespace}/configmaps/{name}")
    except NotFound:
        return False
    return not found["metadata"].get("deletionTimestamp")


def told(deployed: Deployed) -> list[dict[str, Any]]:
    return [event for event in deployed.events() if event.get("type") == "Warning"]


@pytest.fixture
def shared(deployed: Deployed) -> Iterator[Deployed]:
    """Two objects, both applied by us, `both` by the other hub too."""
    deployed.publish("one", {f"a/{name}.yaml": manifest(deployed, name) for name in ("mine", "both", "stays")})
    deployed.put("a")
    deployed.run_until_ready("a")
    oid = ObjectId("", "ConfigMap", deployed.namespace, "both")
    other = Ledger(Ref.parse(deployed.ref("a")), "the-other-hub")
    saved = other.save_exact(deployed.client, {oid: LedgerEntry("v1", "digest", "fingerprint", "uid")}, None, 1)
    deployed.forget()
    yield deployed
    ledger.delete(deployed.client, saved)


def test_what_left_git_stays_for_the_other_hub(shared: Deployed) -> None:
    """Ready as ever; the object is theirs from now on, and an event says so."""
    shared.publish("two", {"a/stays.yaml": manifest(shared, "stays")})
    assert shared.again("a")["status"] == "True"
    assert (exists(shared, "mine"), exists(shared, "both")) == (False, True)
    (event,) = told(shared)
    assert event["message"].startswith(f"ConfigMap/{shared.namespace}/both not deleted: it is applied by hub the-other")
    assert {entry["id"].split("_")[1] for entry in shared.status("a")["inventory"]["entries"]} == {"stays"}


def test_a_deleted_kustomization_leaves_it_to_the_other_hub(shared: Deployed) -> None:
    """Everything else goes, and so does the Kustomization."""
    shared.delete("a")
    shared.run_due()
    assert shared.finalized("a")
    assert [exists(shared, name) for name in ("mine", "both", "stays")] == [False, True, False]
    assert len(told(shared)) == 1
