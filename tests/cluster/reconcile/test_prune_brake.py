"""The prune brake on a real API server: what is stopped, what goes on meanwhile, and what releases it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace

import pytest

from fleetbeat.api.refs import Ref
from fleetbeat.kube import client as module
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import NotFound, ServerError
from fleetbeat.kube.ledger import load
from tests.support.deployed import Deployed

pytestmark = pytest.mark.cluster


def files(deployed: Deployed, names: Iterable[str], value: str = "1") -> dict[str, str]:
    """The folder `a` with ConfigMaps of these names, and a file that is none so that it exists."""
    found = {"a/README.md": "nothing"}
    for name in names:
        meta = {"name": name, "namespace": deployed.namespace}
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"key": value}}
        found[f"a/{name}.yaml"] = json.dumps(obj)
    return found


def numbered(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def there(deployed: Deployed) -> set[str]:
    """The ConfigMaps of the namespace that are ours."""
    params = {"labelSelector": "kustomize.toolkit.fluxcd.io/name=a"}
    found = deployed.client.list(f"/api/v1/namespaces/{deployed.namespace}/configmaps", params)
    return {item["metadata"]["name"] for item in found["items"]}


def push(deployed: Deployed, revision: str, names: Iterable[str], value: str = "1") -> dict[str, str]:
    """A commit, and the run that follows it; returns the Ready condition."""
    deployed.publish(f"main@sha1:{revision}", files(deployed, names, value))
    return deployed.again("a")


def code(ready: dict[str, str]) -> str:
    """What the message asks for."""
    found = re.search(r"fleetbeat\.io/confirm-prune: (\w+)$", ready["message"])
    assert found is not None, ready
    return found[1]


@pytest.fixture
def six(deployed: Deployed) -> Deployed:
    """A Ready Kustomization of six ConfigMaps."""
    deployed.publish("main@sha1:1", files(deployed, numbered("old", 6)))
    deployed.put("a")
    deployed.settle()
    return deployed


def test_an_empty_build_deletes_nothing(six: Deployed) -> None:
    """The classical accident: the path renders nothing. The message, the event and the inventory say what is held."""
    ready = push(six, "2", [])
    assert (ready["status"], ready["reason"]) == ("False", "PruneBraked")
    first = f"ConfigMap/{six.namespace}/old-0"
    assert ready["message"].startswith(f"deleting 6 of 6 objects needs a confirmation, nothing was deleted: {first}, ")
    assert f"`fleetbeat confirm kustomization a -n {six.namespace}`" in ready["message"]
    assert six.condition("a", "Stalled")["status"] == "True"
    assert len(there(six)) == 6
    status = six.status("a")
    assert len(status["inventory"]["entries"]) == 6
    assert status["lastAppliedRevision"] == "main@sha1:1"
    assert status["lastAttemptedRevision"] == "main@sha1:2"
    (told,) = [event for event in six.events() if event["reason"] == "PruneBraked"]
    assert (told["type"], told["message"]) == ("Warning", ready["message"])


def test_fewer_than_five_go(deployed: Deployed) -> None:
    """As with Flux."""
    deployed.publish("main@sha1:1", files(deployed, numbered("old", 4)))
    deployed.put("a")
    deployed.settle()
    assert push(deployed, "2", [])["status"] == "True"
    assert there(deployed) == set()


def test_what_is_new_is_applied_all_the_same(six: Deployed) -> None:
    """A rename of everything: the new objects are there, the old ones stay, in this run and in every later one."""
    both = {*numbered("old", 6), *numbered("new", 6)}
    held = push(six, "2", numbered("new", 6))
    assert held["reason"] == "PruneBraked"
    assert there(six) == both
    again = six.again("a")
    assert (again["reason"], again["message"]) == ("PruneBraked", held["message"])
    assert there(six) == both
    fixed = push(six, "3", numbered("new", 6), value="2")
    assert fixed["reason"] == "PruneBraked"
    path = f"/api/v1/namespaces/{six.namespace}/configmaps/new-0"
    assert six.client.get(path)["data"] == {"key": "2"}


def test_it_is_told_once(six: Deployed) -> None:
    """Retries of the same list add no event."""
    push(six, "2", [])
    six.forget()
    six.again("a")
    assert six.events() == []


def test_a_confirmation_takes_effect_at_once(six: Deployed) -> None:
    """Setting the annotation makes the resource due, the list goes, and the resource is Ready."""
    ready = push(six, "2", numbered("new", 1))
    six.annotate("a", confirm_prune=code(ready))
    assert six.run_due() == {"a": "annotated"}
    assert six.condition("a")["status"] == "True"
    assert there(six) == {"new-0"}
    assert load(six.client, Ref.parse(six.ref("a")), six.ctx.hub_id).held is None


def test_another_list_needs_another_confirmation(six: Deployed) -> None:
    """A confirmation is good for the objects that it was given for, not for more."""
    ready = push(six, "2", numbered("old", 0))
    six.publish("main@sha1:3", files(six, ["other"]))
    six.again("a")
    six.publish("main@sha1:4", files(six, []))
    six.annotate("a", confirm_prune=code(ready))
    six.run_due()
    asked = six.condition("a")
    assert asked["reason"] == "PruneBraked"
    assert code(asked) != code(ready)
    assert there(six) == {*numbered("old", 6), "other"}
    six.annotate("a", confirm_prune=code(asked))
    six.run_due()
    assert (six.condition("a")["status"], there(six)) == ("True", set())


def test_a_confirmation_is_used_up(six: Deployed) -> None:
    """The same names made anew are other objects: the annotation that is still there does not let them go."""
    ready = push(six, "2", [])
    six.annotate("a", confirm_prune=code(ready))
    six.run_due()
    assert push(six, "3", numbered("old", 6))["status"] == "True"
    again = push(six, "4", [])
    assert again["reason"] == "PruneBraked"
    assert code(again) != code(ready)
    assert len(there(six)) == 6


def test_giving_the_objects_back_releases_it(six: Deployed) -> None:
    """The repaired commit needs no confirmation, and leaves no trace."""
    push(six, "2", [])
    uids = {one["metadata"]["uid"] for one in _items(six)}
    assert push(six, "3", numbered("old", 6))["status"] == "True"
    assert six.condition("a", "Stalled")["status"] == "Unknown"
    assert {one["metadata"]["uid"] for one in _items(six)} == uids
    assert load(six.client, Ref.parse(six.ref("a")), six.ctx.hub_id).held is None


def _items(deployed: Deployed) -> list[dict[str, dict[str, str]]]:
    params = {"labelSelector": "kustomize.toolkit.fluxcd.io/name=a"}
    found = deployed.client.list(f"/api/v1/namespaces/{deployed.namespace}/configmaps", params)
    return list(found["items"])


@pytest.mark.parametrize("text", ["off", "all=7", "all=off"])
def test_limits_can_be_changed_for_one(six: Deployed, text: str) -> None:
    """By an annotation, which takes effect at once too."""
    six.annotate("a", prune_brake=text)
    assert six.run_due() == {"a": "annotated"}
    assert push(six, "2", [])["status"] == "True"
    assert there(six) == set()


def test_limits_can_be_changed_for_all(six: Deployed) -> None:
    """By a setting, which the annotation overrides."""
    six.ctx.settings = replace(six.ctx.settings, prune_brake="all=2")
    assert push(six, "2", ["old-0"])["status"] == "True"
    six.annotate("a", prune_brake="all=1")
    assert push(six, "3", [])["reason"] == "PruneBraked"
    six.annotate("a", prune_brake="")
    assert six.again("a")["status"] == "True"


def test_limits_that_are_not_understood_are_told_at_once(six: Deployed) -> None:
    """Not on the day when they are needed."""
    six.annotate("a", prune_brake="five")
    six.run_due()
    assert six.condition("a")["reason"] == "ValidationFailed"
    assert "annotation fleetbeat.io/prune-brake: 'five' is not understood" in six.condition("a")["message"]


def test_only_what_would_really_go_counts(six: Deployed) -> None:
    """Objects that are gone or marked to stay are none of the list."""
    path = f"/api/v1/namespaces/{six.namespace}/configmaps"
    six.client.delete(f"{path}/old-0")
    marked = {"metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/prune": "disabled"}}}
    six.client.patch(f"{path}/old-1", marked, params={"fieldManager": "dashboard"})
    assert push(six, "2", [])["status"] == "True"
    assert {one["metadata"]["name"] for one in _items(six)} == {"old-1"}


def test_a_cut_in_the_middle_of_confirmed_deletions(six: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest goes with the next run, without a second confirmation."""
    ready = push(six, "2", [])
    real = KubeClient.delete
    deleted: list[str] = []

    def some(client: KubeClient, path: str, **options: str) -> None:
        if len(deleted) >= 2:
            raise ServerError("etcdserver: request timed out", status=500)
        deleted.append(path)
        real(client, path, **options)

    monkeypatch.setattr(module.KubeClient, "delete", some)
    six.annotate("a", confirm_prune=code(ready))
    six.run_due()
    assert six.condition("a")["reason"] == "PruneFailed"
    assert len(there(six)) == 4
    monkeypatch.undo()
    assert six.again("a")["status"] == "True"
    assert there(six) == set()


def test_a_lost_ledger_does_not_lose_the_limit(six: Deployed) -> None:
    """What is taken in from the inventory is what the limits go by, although the new objects are applied first."""
    ledger = load(six.client, Ref.parse(six.ref("a")), six.ctx.hub_id)
    six.client.delete(f"/api/v1/namespaces/{ledger.namespace}/configmaps/{ledger.name}")
    assert push(six, "2", numbered("new", 6))["status"] == "True"
    assert six.again("a")["reason"] == "PruneBraked"
    assert there(six) == {*numbered("old", 6), *numbered("new", 6)}


def test_without_pruning_there_is_nothing_to_stop(six: Deployed) -> None:
    """`prune: false` leaves the objects, and is Ready."""
    six.edit("a", prune=False)
    assert push(six, "2", [])["status"] == "True"
    assert len(there(six)) == 6


def test_the_deletion_of_the_resource_is_not_braked(six: Deployed) -> None:
    """Whoever deletes a Kustomization means all of it."""
    six.delete("a")
    six.run_due()
    assert six.finalized("a")
    with pytest.raises(NotFound):
        six.client.get(f"/api/v1/namespaces/{six.namespace}/configmaps/old-0")


def test_an_ordinary_prune_costs_no_look_beforehand(six: Deployed) -> None:
    """Objects are looked at together only when the limits could be exceeded; who else applies them is one question."""
    stats = six.ctx.hub.stats
    stats.clear()
    assert push(six, "2", numbered("old", 5))["status"] == "True"
    assert (stats["GET", "configmaps"], stats["DELETE", "configmaps"]) == (3, 1)
