"""`reconcile`, `suspend` and `resume` against a real API server, with the test as the worker."""

from __future__ import annotations

import pytest

from tests.cluster.cli.conftest import KUSTOMIZATIONS, SOURCES, Command, Objects
from tests.support.wait import until

pytestmark = pytest.mark.cluster

ANNOTATION = "reconcile.fluxcd.io/requestedAt"


def requested(objects: Objects, path: str, name: str) -> str:
    """The request that an object carries, "" for none."""
    return str((objects.get(path, name)["metadata"].get("annotations") or {}).get(ANNOTATION, ""))


def answer(objects: Objects, path: str, name: str, ready: str, reason: str, message: str) -> None:
    """Wait for a request and handle it."""
    until(lambda: requested(objects, path, name), timeout=60, message="the request")
    objects.report(path, name, ready, reason, message, lastHandledReconcileAt=requested(objects, path, name))


def test_reconcile_waits_for_the_answer_to_its_own_request(objects: Objects, fleetbeat: Command) -> None:
    """An older Ready does not count; the new one ends the wait with its message."""
    objects.kustomization("apps")
    objects.report(
        KUSTOMIZATIONS, "apps", "True", "ReconciliationSucceeded", "old news", lastHandledReconcileAt="before"
    )
    with fleetbeat.running("reconcile", "ks", "apps") as process:
        answer(objects, KUSTOMIZATIONS, "apps", "True", "ReconciliationSucceeded", "Applied revision: main@sha1:abc")
        out, err = process.communicate(timeout=90)
    assert (process.returncode, err) == (0, "")
    assert "Applied revision: main@sha1:abc" in out
    assert "old news" not in out


def test_reconcile_ends_with_the_reason_of_a_failure(objects: Objects, fleetbeat: Command) -> None:
    """A failed run ends the wait at once, although the object is retried."""
    objects.kustomization("apps")
    with fleetbeat.running("reconcile", "ks/apps") as process:
        answer(objects, KUSTOMIZATIONS, "apps", "False", "BuildFailed", "no such file: a.yaml")
        _, err = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "BuildFailed: no such file: a.yaml" in err


def test_reconcile_with_source_asks_the_source_first(objects: Objects, fleetbeat: Command) -> None:
    """The Kustomization is not asked before its source has answered."""
    objects.git_repository("repo")
    objects.kustomization("apps")
    with fleetbeat.running("reconcile", "ks", "apps", "--with-source") as process:
        until(lambda: requested(objects, SOURCES, "repo"), timeout=60, message="the request of the source")
        assert not requested(objects, KUSTOMIZATIONS, "apps")
        answer(objects, SOURCES, "repo", "True", "Succeeded", "stored artifact")
        answer(objects, KUSTOMIZATIONS, "apps", "True", "ReconciliationSucceeded", "applied")
        out, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    assert [line.split()[1].split("/")[0] for line in out.splitlines()] == ["GitRepository", "Kustomization"]


def test_reconcile_gives_up_at_its_timeout(objects: Objects, fleetbeat: Command) -> None:
    """The last state and the next step are in the message."""
    objects.kustomization("apps")
    ran = fleetbeat("reconcile", "ks", "apps", "--timeout", "500ms")
    assert ran.code == 1
    assert "was not done after" in ran.err and "fleetbeat explain" in ran.err


def test_a_suspended_object_is_not_asked(objects: Objects, fleetbeat: Command) -> None:
    """reconcile names the command that resumes it."""
    objects.kustomization("apps", suspend=True)
    ran = fleetbeat("reconcile", "ks", "apps")
    assert ran.code == 1
    assert f"fleetbeat resume kustomization apps -n {objects.namespace}" in ran.err
    assert not requested(objects, KUSTOMIZATIONS, "apps")


def test_suspend_and_resume(objects: Objects, fleetbeat: Command) -> None:
    """Both set spec.suspend; resume waits for a status of the new generation."""
    objects.kustomization("apps")
    assert "suspended" in fleetbeat("suspend", "ks", "apps").out
    assert objects.get(KUSTOMIZATIONS, "apps")["spec"]["suspend"] is True
    assert "was suspended already" in fleetbeat("suspend", "ks", "--all").out
    with fleetbeat.running("resume", "ks", "apps") as process:
        until(lambda: not objects.get(KUSTOMIZATIONS, "apps")["spec"]["suspend"], timeout=60, message="the resumption")
        objects.report(KUSTOMIZATIONS, "apps", "True", "ReconciliationSucceeded", "applied again")
        out, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "applied again" in out
