"""`fleetbeat confirm kustomization` on a real API server, with a ledger as a run leaves it."""

from __future__ import annotations

import json

import pytest

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.kube import brake
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.identity import hub_id
from fleetbeat.kube.ledger import Held, Ledger, LedgerEntry
from tests.cluster.cli.conftest import KUSTOMIZATIONS, Command, Objects
from tests.support.wait import until

pytestmark = pytest.mark.cluster

CODE = "0123456789abcdef"
ANNOTATION = "fleetbeat.io/confirm-prune"


def hold(objects: Objects, name: str = "apps", count: int = 7, code: str = CODE, ledger: bool = True) -> list[str]:
    """A braked Kustomization; returns the objects that it would delete."""
    ids = [ObjectId("", "ConfigMap", objects.namespace, f"old-{number}") for number in range(count)]
    held = Held(count, code, tuple(sorted(oid.inventory_id for oid in ids)))
    ref = Ref("Kustomization", objects.namespace, name)
    message = brake.told(held, f"fleetbeat confirm kustomization {name} -n {objects.namespace}")
    objects.report(KUSTOMIZATIONS, name, "False", "PruneBraked", message)
    if ledger:
        client = KubeClient(ClusterConfig.from_kubeconfig(objects.cluster.kubeconfig, trusted=True))
        entries = {oid: LedgerEntry("v1", uid="u") for oid in ids}
        Ledger(ref, hub_id(client)).save_superset(client, entries, 1).save_exact(client, entries, None, 1, held)
        client.close()
    return [str(oid) for oid in ids]


def annotation(objects: Objects, name: str = "apps") -> str:
    return (objects.get(KUSTOMIZATIONS, name)["metadata"].get("annotations") or {}).get(ANNOTATION, "")


def test_the_whole_list_is_shown_and_confirmed(objects: Objects, fleetbeat: Command) -> None:
    """Also what the condition has no room for; it ends when the deletions went through."""
    objects.kustomization("apps")
    names = hold(objects)
    with fleetbeat.running("confirm", "kustomization", "apps", "-n", objects.namespace, "--yes") as process:
        until(lambda: annotation(objects) == CODE, timeout=60, message="the confirmation")
        objects.report(KUSTOMIZATIONS, "apps", "True", "ReconciliationSucceeded", "Applied revision: x")
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert lines[0] == f"Kustomization/{objects.namespace}/apps would delete 7 objects:"
    assert [line.strip() for line in lines[1:8]] == names
    assert "Applied revision: x" in lines[8]


def test_nobody_is_asked_in_a_pipe(objects: Objects, fleetbeat: Command) -> None:
    """Without --yes and a terminal nothing is confirmed."""
    objects.kustomization("apps")
    hold(objects)
    ran = fleetbeat("confirm", "ks", "apps")
    assert (ran.code, annotation(objects)) == (1, "")
    assert "--yes" in ran.err


def test_without_its_ledger_the_condition_is_shown(objects: Objects, fleetbeat: Command) -> None:
    """The cluster cannot be reached from here; the code of the condition is confirmed."""
    objects.kustomization("apps", kubeConfig={"secretRef": {"name": "absent"}})
    hold(objects, ledger=False)
    ran = fleetbeat("confirm", "ks", "apps", "--yes", "--no-wait")
    assert ran.code == 0, ran.err
    assert "and 2 more" in ran.out
    assert "which cannot be read from here" in ran.err
    assert annotation(objects) == CODE


def test_a_list_that_changed_meanwhile_is_not_confirmed(objects: Objects, fleetbeat: Command) -> None:
    """The command says so instead of waiting for ever."""
    objects.kustomization("apps")
    hold(objects)
    with fleetbeat.running("confirm", "ks", "apps", "--yes") as process:
        until(lambda: annotation(objects) == CODE, timeout=60, message="the confirmation")
        hold(objects, count=8, code="fedcba9876543210", ledger=False)
        _, err = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "needs a confirmation of its own" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ks", "apps"), "nothing waits for a confirmation: Kustomization/"),
        (("gitrepo", "repo"), "only the pruning of a Kustomization does"),
        (("ks", "absent"), "there is no Kustomization/"),
    ],
)
def test_what_needs_no_confirmation(objects: Objects, fleetbeat: Command, words: tuple[str, ...], says: str) -> None:
    """One clear line."""
    objects.kustomization("apps")
    objects.report(KUSTOMIZATIONS, "apps", "True", "ReconciliationSucceeded", "applied")
    ran = fleetbeat("confirm", *words, "--yes")
    assert ran.code == 1
    assert says in ran.err


def test_explain_names_the_command(objects: Objects, fleetbeat: Command) -> None:
    """One reason, `Braked`, and what releases it."""
    objects.kustomization("apps")
    hold(objects, ledger=False)
    told = json.loads(fleetbeat("explain", "ks", "apps", "-o", "json").out)
    assert told["reason"] == "Braked"
    assert f"`fleetbeat confirm kustomization apps -n {objects.namespace}` lets them go" in told["sentence"]
