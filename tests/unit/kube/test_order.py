"""Stages, waves and ranks."""

from __future__ import annotations

import random
from functools import partial

import pytest

from fleetbeat.api.refs import ObjectId
from fleetbeat.kube.order import grouped, rank, stage, wave

pytestmark = pytest.mark.unit

STAGES = [
    ["CustomResourceDefinition", "Namespace", "ClusterRole"],
    ["PriorityClass", "StorageClass", "SomeUnheardOfClass"],
    ["ClusterRoleBinding", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret", "Service", "Deployment"],
]


def oid(kind: str, name: str = "x") -> ObjectId:
    return ObjectId("", kind, "", name)


def identity(found: ObjectId) -> ObjectId:
    return found


def test_stages_and_their_order() -> None:
    """Definitions, namespaces and cluster roles; classes; the rest; in each the kinds in their order."""
    everything = [oid(kind) for kinds in STAGES for kind in kinds]
    random.Random(1).shuffle(everything)
    assert [[found.kind for found in group] for group in grouped(everything, identity, stage)] == STAGES


def test_kinds_of_the_installation_have_a_stage_before_the_rest() -> None:
    """They are known by group and kind; classes and definitions stay before them."""
    early = {("", "Secret"), ("some.test", "Policy")}
    everything = [oid("Deployment"), oid("Secret"), oid("Policy"), oid("StorageClass"), oid("Namespace")]
    everything.append(ObjectId("some.test", "Policy", "", "x"))
    groups = grouped(everything, identity, partial(stage, early=early))
    assert [[(found.group, found.kind) for found in group] for group in groups] == [
        [("", "Namespace")],
        [("", "StorageClass")],
        [("", "Secret"), ("some.test", "Policy")],
        [("", "Deployment"), ("", "Policy")],
    ]


def test_webhooks_are_last() -> None:
    """A webhook configuration would refuse what its own Deployment needs."""
    kinds = ["ValidatingWebhookConfiguration", "Widget", "MutatingWebhookConfiguration", "Deployment", "ConfigMap"]
    groups = grouped([oid(kind) for kind in kinds], identity, wave)
    assert [[found.kind for found in group] for group in groups] == [
        ["ConfigMap"],
        ["Deployment", "Widget"],
        ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
    ]


def test_ties_are_broken_by_kind_namespace_and_name() -> None:
    """The order is the same every time."""
    ids = [ObjectId("b", "A", "n", "x"), ObjectId("a", "B", "n", "x"), ObjectId("a", "B", "m", "y")]
    assert sorted(ids, key=rank) == [ids[2], ids[1], ids[0]]
