"""From Flux to us and back: neither direction writes anything, and `flux diff` shows nothing.

What Flux sends is written out here: the rendered object with its two owner labels, applied by force as
`kustomize-controller`.
"""

from __future__ import annotations

import pytest

from tests.support.foreign import SAMPLES, Sample, seen_by_its_controller
from tests.support.managed import GROUP, Managed, Object, content

pytestmark = pytest.mark.cluster


def by_flux(managed: Managed, obj: Object, *, dry_run: bool = False) -> Object:
    labels = {f"{GROUP}/name": managed.owner.name, f"{GROUP}/namespace": managed.owner.namespace}
    metadata = {**obj["metadata"], "labels": {**obj["metadata"]["labels"], **labels}}
    wanted = {**obj, "metadata": metadata}
    return managed.client.apply(managed.path(obj), wanted, "kustomize-controller", dry_run=dry_run)


def settle(managed: Managed, obj: Object) -> None:
    """The deployment controller adds an annotation of its own to what is new."""
    if obj["kind"] == "Deployment":
        seen_by_its_controller(managed, obj)


def ownership(managed: Managed, obj: Object) -> list[Object]:
    """Who wrote what and when, but for the status; any write that changes something moves it."""
    return [entry for entry in managed.live(obj)["metadata"]["managedFields"] if entry.get("subresource") != "status"]


def test_flux_diff_shows_nothing(managed: Managed, sample: Sample) -> None:
    """Flux's dry run of what we applied answers with the live object."""
    obj = sample.make(managed.namespace)
    managed.one(obj)
    settle(managed, obj)
    assert content(by_flux(managed, obj, dry_run=True)) == content(managed.live(obj))


@pytest.mark.parametrize("kind", [kind for kind in SAMPLES if kind != "Secret"])
def test_a_takeover_writes_nothing(managed: Managed, kind: str) -> None:
    """The first run on Flux's objects leaves each as it is, ownership included; the second asks for metadata alone."""
    obj = SAMPLES[kind].make(managed.namespace)
    by_flux(managed, obj)
    settle(managed, obj)
    before = ownership(managed, obj)
    assert managed.one(obj).action == "unchanged"
    assert ownership(managed, obj) == before
    managed.one(obj)
    assert managed.writes() == 0


@pytest.mark.parametrize("kind", [kind for kind in SAMPLES if kind != "Secret"])
def test_a_hand_back_writes_nothing(managed: Managed, kind: str) -> None:
    """Flux's first apply of what we left changes nothing."""
    obj = SAMPLES[kind].make(managed.namespace)
    managed.one(obj)
    settle(managed, obj)
    before = ownership(managed, obj)
    by_flux(managed, obj)
    assert ownership(managed, obj) == before
