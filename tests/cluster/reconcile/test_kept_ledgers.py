"""A run for a new artifact saves the ledger that this process's last run left, without reading it first."""

from __future__ import annotations

import json
from itertools import count

import pytest

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.kube.ledger import Ledger, LedgerEntry, load
from tests.support.deployed import Deployed

pytestmark = pytest.mark.cluster

READ, SAVED = ("GET", "configmaps"), ("PUT", "configmaps")
RELEASES = count(1)
CLAIMS = 1
"""Reads of a run that deletes: of what other owners' ledgers name."""


def files(deployed: Deployed, *names: str) -> dict[str, str]:
    """ServiceAccounts, so that each ConfigMap that is asked for is a ledger; each artifact changes all of them."""
    release = str(next(RELEASES))

    def account(name: str) -> str:
        meta = {"namespace": deployed.namespace, "name": name, "annotations": {"release": release}}
        return json.dumps({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})

    return {f"a/{name}.yaml": account(name) for name in names}


@pytest.fixture
def applied(deployed: Deployed) -> Deployed:
    """The accounts one, two and three."""
    deployed.publish("main@sha1:1", files(deployed, "one", "two", "three"))
    deployed.put("a")
    deployed.run_due()
    assert deployed.condition("a")["status"] == "True"
    return deployed


def again(applied: Deployed) -> tuple[int, int]:
    """Run; returns how often the ledger was read and saved."""
    applied.ctx.hub.stats.clear()
    applied.again("a")
    return applied.ctx.hub.stats[READ], applied.ctx.hub.stats[SAVED]


def accounts(applied: Deployed) -> list[str]:
    found = applied.client.list(f"/api/v1/namespaces/{applied.namespace}/serviceaccounts")["items"]
    return sorted(item["metadata"]["name"] for item in found if item["metadata"]["name"] != "default")


def ledger(applied: Deployed) -> Ledger:
    return load(applied.client, Ref("Kustomization", applied.namespace, "a"), applied.ctx.hub_id)


def test_a_new_artifact_needs_no_look_at_the_ledger(applied: Deployed) -> None:
    """It is saved before and after, and what the source lost is pruned."""
    applied.publish("main@sha1:2", files(applied, "one", "two", "three"))
    assert again(applied) == (0, 2)
    applied.publish("main@sha1:3", files(applied, "one", "two"))
    assert again(applied) == (CLAIMS, 2)
    assert accounts(applied) == ["one", "two"]
    assert {oid.name for oid in ledger(applied).entries} == {"one", "two"}


def test_the_same_artifact_does(applied: Deployed) -> None:
    """Nothing would be saved that shows whether it is still the same."""
    assert again(applied) == (1, 0)


def test_a_ledger_that_somebody_else_saved_is_read(applied: Deployed) -> None:
    """What only that one knows is pruned: another process may have had the run in between."""
    meta = {"name": "four", "labels": dict(applied.client.get(_path(applied, "one"))["metadata"]["labels"])}
    four = applied.client.create(_path(applied), {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    before = ledger(applied)
    oid = ObjectId("", "ServiceAccount", applied.namespace, "four")
    entries = {**before.entries, oid: LedgerEntry("v1", uid=four["metadata"]["uid"])}
    before.save_exact(applied.client, entries, before.applied, before.fence)
    applied.publish("main@sha1:2", files(applied, "one", "two"))
    assert again(applied)[0] == 1 + CLAIMS
    assert accounts(applied) == ["one", "two"]


def test_a_ledger_that_was_deleted_meanwhile_prunes_nothing(applied: Deployed) -> None:
    """What is remembered of it does not count."""
    applied.client.delete(f"/api/v1/namespaces/{ledger(applied).namespace}/configmaps/{ledger(applied).name}")
    applied.publish("main@sha1:2", files(applied, "one", "two"))
    assert again(applied)[0] == 1
    assert applied.condition("a")["status"] == "True"
    assert accounts(applied) == ["one", "three", "two"]


def test_an_older_artifact_is_refused_all_the_same(applied: Deployed) -> None:
    """By what is remembered of the last one."""
    older = applied.state.artifact(f"GitRepository/{applied.namespace}/repo")
    applied.publish("main@sha1:2", files(applied, "one", "two"))
    applied.again("a")
    applied.state.command("HSET", "fb:artifacts", f"GitRepository/{applied.namespace}/repo", older)
    assert again(applied) == (0, 0)
    assert "is older than the applied main@sha1:2" in applied.condition("a")["message"]


def test_a_run_that_failed_leaves_nothing_to_remember(applied: Deployed) -> None:
    """The next one reads what it saved."""
    broken = {**files(applied, "one", "two"), "a/bad.yaml": "apiVersion: v1\nkind: None\nmetadata: {name: x}\n"}
    applied.publish("main@sha1:2", broken)
    again(applied)
    assert applied.condition("a")["status"] == "False"
    applied.publish("main@sha1:3", files(applied, "one"))
    assert again(applied)[0] == 1 + CLAIMS
    assert accounts(applied) == ["one"]


def _path(applied: Deployed, name: str = "") -> str:
    return f"/api/v1/namespaces/{applied.namespace}/serviceaccounts/{name}".rstrip("/")
