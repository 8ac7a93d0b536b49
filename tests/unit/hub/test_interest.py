"""Which ConfigMaps and Secrets matter."""

from __future__ import annotations

import pytest

from fleetbeat.hub.interest import Interest

pytestmark = pytest.mark.unit


def test_a_target_matters_as_long_as_somebody_refers_to_it() -> None:
    """Counted over all refs; sources and dependencies are not configs."""
    interest = Interest()
    interest.set("Kustomization/a/x", ["Secret/a/s", "ConfigMap/a/c", "GitRepository/a/r"])
    interest.set("Kustomization/a/y", ["Secret/a/s"])
    assert set(interest) == {"Secret/a/s", "ConfigMap/a/c"}
    interest.set("Kustomization/a/x", [])
    assert set(interest) == {"Secret/a/s"}
    interest.drop("Kustomization/a/y")
    interest.drop("Kustomization/a/unknown")
    assert "Secret/a/s" not in interest
