"""A run that a new artifact asked for reads only what it changes, where the observer watches the rest."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from fleetbeat.reconcile import kustomization, watches
from fleetbeat.state.reasons import artifact_reason
from tests.support.deployed import Deployed

pytestmark = pytest.mark.cluster

READ = ("GET", "serviceaccounts")


def files(deployed: Deployed, value: str, **annotations: str) -> dict[str, str]:
    """A ConfigMap with a value, and a ServiceAccount."""
    meta = {"namespace": deployed.namespace}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "one"}, "data": {"k": value}}
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {**meta, "name": "two", "annotations": annotations},
    }
    return {"a/one.json.yaml": json.dumps(config), "a/two.json.yaml": json.dumps(account)}


def why(deployed: Deployed) -> str:
    return artifact_reason(f"GitRepository/{deployed.namespace}/repo")


def upgrade(deployed: Deployed, value: str, *reasons: str, **annotations: str) -> int:
    """A new artifact, and a run for these reasons; returns how often the ServiceAccount was read."""
    deployed.publish(f"main@sha1:{value}", files(deployed, value, **annotations))
    for reason in reasons:
        deployed.state.poke([deployed.ref("a")], reason, urgent=True)
    before = deployed.ctx.hub.stats[READ]
    assert deployed.run_due().keys() == {"a"}
    assert deployed.condition("a")["message"] == f"Applied revision: main@sha1:{value}"
    live = deployed.client.get(f"/api/v1/namespaces/{deployed.namespace}/configmaps/one")
    assert live["data"] == {"k": value}
    return deployed.ctx.hub.stats[READ] - before


@pytest.fixture
def watched(deployed: Deployed) -> Deployed:
    """Applied once, and watched."""
    deployed.publish("main@sha1:1", files(deployed, "1"))
    deployed.put("a")
    deployed.run_due()
    deployed.state.mark_observed(["hub"])
    return deployed


def test_what_is_watched_is_not_read(watched: Deployed) -> None:
    """One after the other; the ledger and the memo go on knowing the object."""
    stats, before = watched.ctx.hub.stats, watched.status("a")["inventory"]
    written = stats["PATCH", "serviceaccounts"]
    assert upgrade(watched, "2", why(watched)) == 0
    assert upgrade(watched, "3", why(watched)) == 0
    assert watched.status("a")["inventory"] == before
    assert watched.again("a")["status"] == "True"
    assert stats["PATCH", "serviceaccounts"] == written, "a whole look still finds it as the ledger says"


def test_what_is_not_watched_is_read(watched: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the last sign of life is too long ago."""
    monkeypatch.setattr(watches, "LIVE", 0.0)
    assert upgrade(watched, "2", why(watched)) == 1


@pytest.mark.parametrize("other", ["drift: ServiceAccount/apps/two changed", "dependency Kustomization/x/y is ready"])
def test_any_other_reason_has_everything_read(watched: Deployed, other: str) -> None:
    """Also where it came along with the artifact."""
    assert upgrade(watched, "2", why(watched), other) == 1


def test_who_asks_for_a_run_has_everything_read(watched: Deployed) -> None:
    """`flux reconcile` means it."""
    watched.request("a")
    assert upgrade(watched, "2", why(watched)) == 1


def test_what_itself_changes_is_read_and_written(watched: Deployed) -> None:
    """Being watched says nothing about an intent."""
    upgrade(watched, "2", why(watched), note="new")
    path = f"/api/v1/namespaces/{watched.namespace}/serviceaccounts/two"
    assert watched.client.get(path)["metadata"]["annotations"] == {"note": "new"}


@pytest.mark.parametrize("forget", [lambda memo: memo.pop("fp"), lambda memo: memo["fp"].clear()])
def test_what_the_observer_does_not_know_is_read(
    watched: Deployed, forget: Callable[[dict[str, object]], object]
) -> None:
    """It compares with the memo, which a Redis that lost its memory does not have."""
    found = watched.state.look(watched.ref("a"))
    assert found is not None
    key = f"fb:{{{watched.shard('a')}}}:memo"
    memo = json.loads(watched.state.command("HGET", key, watched.ref("a")))
    forget(memo)
    watched.state.command("HSET", key, watched.ref("a"), json.dumps(memo))
    assert upgrade(watched, "2", why(watched)) == 1


def test_noise_is_read(watched: Deployed) -> None:
    """The observer takes no notice of what differs at every look."""
    key = f"fb:{{{watched.shard('a')}}}:memo"
    memo = json.loads(watched.state.command("HGET", key, watched.ref("a")))
    memo["noisy"] = [f"{watched.namespace}_two__ServiceAccount"]
    watched.state.command("HSET", key, watched.ref("a"), json.dumps(memo))
    assert upgrade(watched, "2", why(watched)) == 1


def test_drift_is_put_right_by_the_run_that_follows(watched: Deployed) -> None:
    """What moved just before the artifact came is told by the observer."""
    path = f"/api/v1/namespaces/{watched.namespace}/serviceaccounts/two"
    watched.client.patch(path, {"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "stolen"}}})
    assert upgrade(watched, "2", why(watched)) == 0
    watched.state.poke([watched.ref("a")], "drift: ServiceAccount changed", urgent=True)
    watched.run_due()
    assert watched.client.get(path)["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] == "a"


def test_the_full_comparison_reads_everything(watched: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the net below all this."""
    monkeypatch.setattr(kustomization, "FULL_EVERY", -1.0)
    assert upgrade(watched, "2", why(watched)) >= 1
