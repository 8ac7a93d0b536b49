"""Which shard a ref belongs to."""

from __future__ import annotations

import pytest

from fleetbeat.state import shards

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("kind", "shard"), [("GitRepository", "source"), ("Bucket", "source"), ("Receiver", "notify"), ("Alert", "notify")]
)
def test_sources_and_notifiers_have_a_shard_of_their_own(kind: str, shard: str) -> None:
    """The cluster plays no part for them."""
    assert {shards.shard_of(kind, cluster) for cluster in ("hub", "k-1")} == {shard}
    assert shards.shards_of(kind) == (shard,)


def test_consumers_of_a_cluster_share_a_shard() -> None:
    """One cluster's refs stay together and many clusters use every shard."""
    of_clusters = {f"k-{i}": shards.shard_of("Kustomization", f"k-{i}") for i in range(100)}
    assert set(of_clusters.values()) == set(shards.APPLY) == set(shards.shards_of("Kustomization"))
    assert all(shards.shard_of("HelmRelease", cluster) == shard for cluster, shard in of_clusters.items())
