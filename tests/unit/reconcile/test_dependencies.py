"""`spec.dependsOn`: which dependency holds a Kustomization back, and why."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.api.refs import Ref
from fleetbeat.errors import DependencyCycle, DependencyNotReady, InvalidExpression
from fleetbeat.reconcile.dependencies import refuse_cycle, require_ready

pytestmark = pytest.mark.unit

REVISION = "main@sha1:new"


def kustomization(*depends_on: str, source: str = "repo") -> dict[str, Any]:
    return {
        "metadata": {"generation": 1},
        "spec": {
            "sourceRef": {"kind": "GitRepository", "name": source},
            "dependsOn": [{"name": name} for name in depends_on],
        },
    }


def ready(revision: str = REVISION, value: str = "True", observed: int = 1) -> dict[str, Any]:
    condition = {"type": "Ready", "status": value, "reason": "BuildFailed", "message": "no such file"}
    return {"conditions": [condition], "observedGeneration": observed, "lastAppliedRevision": revision}


def check(resources: dict[str, tuple[dict[str, Any], dict[str, Any]]], name: str = "app") -> None:
    found = {Ref("Kustomization", "apps", key): value for key, value in resources.items()}
    ref = Ref("Kustomization", "apps", name)
    require_ready(ref, found[ref][0], REVISION, found.get)


def test_a_ready_dependency_at_this_revision_lets_the_run_go_on() -> None:
    """Nothing is raised."""
    check({"app": (kustomization("infra"), {}), "infra": (kustomization(), ready())})


@pytest.mark.parametrize(
    ("dependency", "says"),
    [
        (None, "'apps/infra' does not exist"),
        ((kustomization(), {}), "has not run yet"),
        ((kustomization(), ready(observed=0)), "latest generation has not been applied"),
        ((kustomization(), ready(value="False")), "BuildFailed: no such file"),
        ((kustomization(), ready(revision="main@sha1:old")), "revision main@sha1:new has not been applied"),
    ],
)
def test_the_message_names_the_dependency_and_the_reason(dependency: Any, says: str) -> None:
    """Each way of not being ready has its own words."""
    resources = {"app": (kustomization("infra"), {})} | ({"infra": dependency} if dependency else {})
    with pytest.raises(DependencyNotReady, match=says):
        check(resources)


def test_a_dependency_with_another_source_may_be_at_any_revision() -> None:
    """Revisions of different sources cannot be compared."""
    old = (kustomization(source="other"), ready(revision="main@sha1:old"))
    check({"app": (kustomization("infra"), {}), "infra": old})


@pytest.mark.parametrize(
    ("cycle", "path"),
    [
        (["Kustomization/apps/app", "Kustomization/apps/app"], "apps/app → apps/app"),
        (
            ["Kustomization/apps/app", "Kustomization/x/b", "Kustomization/apps/app"],
            "apps/app → x/b → apps/app",
        ),
        (
            ["Kustomization/apps/app", "HelmRelease/apps/b", "Kustomization/apps/app"],
            "Kustomization/apps/app → HelmRelease/apps/b → Kustomization/apps/app",
        ),
    ],
)
def test_a_cycle_is_told_with_its_way(cycle: list[str], path: str) -> None:
    """The message shows the way round, with kinds where they differ."""
    with pytest.raises(DependencyCycle, match=f"dependency cycle: {path}; remove one"):
        refuse_cycle(Ref("Kustomization", "apps", "app"), cycle)


def test_no_cycle_is_refused_where_there_is_none() -> None:
    """Nothing is raised."""
    refuse_cycle(Ref("Kustomization", "apps", "app"), [])


@pytest.mark.parametrize(
    ("meta", "spec", "status", "says"),
    [
        ({}, {"suspend": True}, ready(value="False"), "BuildFailed: no such file; it is suspended and stays so"),
        ({}, {"suspend": True}, {}, "it has not run yet; it is suspended"),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, {}, ready(observed=0), "is not ready: it is being deleted"),
    ],
)
def test_why_a_dependency_will_not_become_ready_by_itself(
    meta: dict[str, Any], spec: dict[str, Any], status: dict[str, Any], says: str
) -> None:
    """A person stopped it, or took it away."""
    infra = kustomization()
    infra["metadata"] |= meta
    infra["spec"] |= spec
    with pytest.raises(DependencyNotReady, match=says):
        check({"app": (kustomization("infra"), {}), "infra": (infra, status)})


def test_a_suspended_dependency_that_is_ready_lets_the_run_go_on() -> None:
    """As with Flux."""
    infra = kustomization()
    infra["spec"]["suspend"] = True
    check({"app": (kustomization("infra"), {}), "infra": (infra, ready())})


@pytest.mark.parametrize(
    ("release", "says"),
    [
        (None, "dependency 'HelmRelease/apps/db' does not exist"),
        (
            ({"metadata": {"generation": 1}, "spec": {}}, {}),
            "dependency 'HelmRelease/apps/db' is not ready: it has not",
        ),
        (({"metadata": {"generation": 1}, "spec": {}}, ready("")), ""),
    ],
)
def test_a_dependency_of_another_kind(release: Any, says: str) -> None:
    """It counts by its conditions, and messages name its kind; one of the own kind and that name is another thing."""
    app = kustomization()
    app["spec"]["dependsOn"] = [{"name": "db", "kind": "HelmRelease"}]
    found = {Ref("HelmRelease", "apps", "db"): release, Ref("Kustomization", "apps", "db"): (kustomization(), ready())}
    ref = Ref("Kustomization", "apps", "app")
    if not says:
        require_ready(ref, app, REVISION, found.get)
        return
    with pytest.raises(DependencyNotReady, match=says):
        require_ready(ref, app, REVISION, found.get)


def with_expression(expression: str) -> dict[str, Any]:
    obj = kustomization()
    obj["spec"]["dependsOn"] = [{"name": "infra", "readyExpr": expression}]
    obj["metadata"]["labels"] = {"version": "2"}
    return obj


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("dep.metadata.generation == 1", ""),
        ("dep.status.lastAppliedRevision.endsWith('old') && self.metadata.labels.version == '2'", ""),
        ("self.metadata.labels.version == '3'", "readyExpr is not true: self.metadata"),
        ("dep.status.nothing == 'x'", "readyExpr of 'infra'"),
        ("dep.metadata.generation", "must give true or false"),
    ],
)
def test_an_expression_replaces_the_built_in_question(expression: str, says: str) -> None:
    """A dependency that failed at an old revision will do when the expression says so."""
    infra = (kustomization(), ready(revision="main@sha1:old", value="False"))
    resources = {"app": (with_expression(expression), {}), "infra": infra}
    if not says:
        check(resources)
        return
    with pytest.raises(DependencyNotReady, match=says):
        check(resources)


def test_an_expression_that_is_none_is_the_users_error() -> None:
    """It does not compile, so no wait could help."""
    with pytest.raises(InvalidExpression, match=r"spec\.dependsOn: readyExpr of 'infra'"):
        check({"app": (with_expression("dep."), {}), "infra": (kustomization(), ready())})
