"""Which managers' fields become ours."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.kube.managers import is_taken_over, own_fields, taken_over, takeover_patch

pytestmark = pytest.mark.unit


def entry(manager: str, operation: str = "Update", subresource: str = "", **fields: Any) -> dict[str, Any]:
    found = {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields}
    return {**found, "subresource": subresource} if subresource else found


@pytest.mark.parametrize(
    ("found", "ours"),
    [
        (entry("kubectl-edit"), True),
        (entry("kubectl", "Apply"), True),
        (entry("kubectl-client-side-apply"), True),
        (entry("before-first-apply"), True),
        (entry("before-first-apply", "Apply"), False),
        (entry("kustomize-controller"), True),
        (entry("kustomize-controller", "Apply"), False),
        (entry("kustomize-controller-2"), False),
        (entry("flux-client-side-apply"), False),
        (entry("dashboard"), False),
        (entry("kubectl", subresource="scale"), False),
        (entry("kubectl-edit", subresource="status"), False),
    ],
)
def test_who_is_taken_over(found: dict[str, Any], ours: bool) -> None:
    """kubectl in every form, clients from before, our own updates; nobody else, and no subresource."""
    assert is_taken_over(found) is ours


def test_configured_managers_are_taken_over_too() -> None:
    """An installation may name more, by how they begin; the escape hatch stays open."""
    assert is_taken_over(entry("dashboard", "Apply"), ("dashboard",))
    assert is_taken_over(entry("dashboard-7f9"), ("other", "dashboard"))
    assert not is_taken_over(entry("my-dashboard"), ("dashboard",))
    assert not is_taken_over(entry("flux-client-side-apply"), ("flux",))


def test_fields_are_joined_into_our_entry() -> None:
    """Our entry grows by what was taken; the others stay as they are."""
    mine = entry("kustomize-controller", "Apply", **{"f:data": {"f:a": {}}})
    other = entry("dashboard", **{"f:data": {"f:c": {}}})
    merged = taken_over([mine, entry("kubectl-edit", **{"f:data": {"f:b": {}}}), other])
    assert merged == [{**mine, "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}}}, other]


def test_without_an_entry_of_ours_the_first_one_becomes_it() -> None:
    """Objects that kubectl made change hands whole."""
    merged = taken_over([entry("kubectl-create", **{"f:data": {}}), entry("kubectl-edit", **{"f:spec": {}})])
    assert merged == [entry("kustomize-controller", "Apply", **{"f:data": {}, "f:spec": {}})]
    assert own_fields(merged) == {"f:data": {}, "f:spec": {}}


def test_nothing_to_take_over_needs_no_patch() -> None:
    """No request is sent for objects that are ours alone."""
    live = {"metadata": {"resourceVersion": "7", "managedFields": [entry("kustomize-controller", "Apply")]}}
    assert takeover_patch(live) is None


def test_the_patch_holds_for_one_version_only() -> None:
    """kubectl's note goes along, and a changed object is refused by its version."""
    key = "kubectl.kubernetes.io/last-applied-configuration"
    live = {"metadata": {"resourceVersion": "7", "managedFields": [], "annotations": {key: "{}"}}}
    assert takeover_patch(live) == [
        {"op": "remove", "path": "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration"},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
    ]
