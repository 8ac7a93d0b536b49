"""`status.history` over real runs: what makes an entry, what counts up, what its metadata says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.deployed import Deployed

pytestmark = pytest.mark.cluster


def files(deployed: Deployed, value: str = "1", namespace: str = "") -> dict[str, str]:
    meta = {"name": "one", "namespace": namespace or deployed.namespace}
    return {"a/one.yaml": json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"k": value}})}


def entries(deployed: Deployed) -> list[tuple[str, str, int]]:
    """(outcome, revision, count), newest first."""
    history: list[dict[str, Any]] = deployed.status("a").get("history") or []
    return [(e["lastReconciledStatus"], e["metadata"]["revision"], e["totalReconciliations"]) for e in history]


def settled(deployed: Deployed) -> Deployed:
    deployed.publish("main@sha1:1", files(deployed))
    deployed.put("a")
    deployed.settle()
    return deployed


OK = "ReconciliationSucceeded"


def test_equal_builds_of_different_revisions_are_one_entry(deployed: Deployed) -> None:
    """The digest is of what was built: a commit elsewhere in the repository only counts up and names its revision."""
    settled(deployed)
    digest = deployed.status("a")["history"][0]["digest"]
    assert digest.startswith("sha256:")
    deployed.publish("main@sha1:2", {**files(deployed), "b/other.yaml": "{}"})
    deployed.again("a")
    assert entries(deployed) == [(OK, "main@sha1:2", 2)]
    assert deployed.status("a")["history"][0]["digest"] == digest


def test_another_build_is_another_entry_and_the_first_comes_back_to_the_front(deployed: Deployed) -> None:
    """As after a revert."""
    settled(deployed)
    deployed.publish("main@sha1:2", files(deployed, "2"))
    deployed.again("a")
    assert entries(deployed) == [(OK, "main@sha1:2", 1), (OK, "main@sha1:1", 1)]
    deployed.publish("main@sha1:3", files(deployed))
    deployed.again("a")
    assert entries(deployed) == [(OK, "main@sha1:3", 2), (OK, "main@sha1:2", 1)]


def test_a_failed_apply_is_an_entry_and_a_failed_build_is_none(deployed: Deployed) -> None:
    """What was not built has no digest."""
    settled(deployed)
    deployed.publish("main@sha1:2", {"a/one.yaml": "kind: ["})
    assert deployed.again("a")["reason"] == "BuildFailed"
    assert entries(deployed) == [(OK, "main@sha1:1", 1)]
    deployed.publish("main@sha1:3", files(deployed, namespace="there-is-none"))
    assert deployed.again("a")["reason"] == "ReconciliationFailed"
    assert entries(deployed) == [("ReconciliationFailed", "main@sha1:3", 1), (OK, "main@sha1:1", 1)]


def test_the_newest_five_are_kept(deployed: Deployed) -> None:
    """The oldest go."""
    settled(deployed)
    for number in range(2, 8):
        deployed.publish(f"main@sha1:{number}", files(deployed, str(number)))
        deployed.again("a")
    assert entries(deployed) == [(OK, f"main@sha1:{number}", 1) for number in (7, 6, 5, 4, 3)]


def test_the_origin_is_told_where_the_source_knows_it(deployed: Deployed) -> None:
    """An artifact of a registry says which commit it was made from; so do the status and the events."""
    settled(deployed)
    deployed.publish("latest@sha256:2", files(deployed, "2"), origin="main@sha1:0")
    deployed.again("a")
    assert deployed.status("a")["history"][0]["metadata"] == {
        "revision": "latest@sha256:2",
        "originRevision": "main@sha1:0",
    }
    assert deployed.status("a")["lastAppliedOriginRevision"] == "main@sha1:0"
    told = {event["metadata"]["kustomize.toolkit.fluxcd.io/originRevision"] for event in deployed.events()}
    assert told == {"main@sha1:0"}
