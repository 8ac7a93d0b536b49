"""`spec.dependsOn`: which dependency holds a Kustomization back, and why."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.api.refs import Ref
from fleetbeat.errors import DependencyNotReady, InvalidExpression
from fleetbeat.reconcile.dependencies import require_ready

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
    ("edges", "path"),
    [
        ({"app": ["app"]}, "apps/app → apps/app"),
        ({"app": ["b"], "b": ["c"], "c": ["app"]}, "apps/app → apps/b → apps/c → apps/app"),
    ],
)
def test_every_member_of_a_cycle_reports_it(edges: dict[str, list[str]], path: str) -> None:
    """The message shows the way round."""
    with pytest.raises(DependencyNotReady, match=path):
        check({name: (kustomization(*depends_on), ready()) for name, depends_on in edges.items()})


def test_a_cycle_elsewhere_does_not_hang_the_walk() -> None:
    """A dependency that is itself in a cycle is merely not ready."""
    loop = {"b": (kustomization("c"), {}), "c": (kustomization("b"), {})}
    with pytest.raises(DependencyNotReady, match="'apps/b' is not ready"):
        check({"app": (kustomization("b"), {}), **loop})


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
