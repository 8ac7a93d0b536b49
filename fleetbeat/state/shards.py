"""Which shard a ref belongs to: a set of refs that share one due-set, one lane cap and one queue of its name.

Consumers are spread by cluster, so that one cluster's refs stay together and can be swept by one task.
"""

from __future__ import annotations

from zlib import crc32

SOURCE = "source"
"""Sources of every kind."""

NOTIFY = "notify"
"""Receivers, alerts and providers."""

APPLY = ("apply-0", "apply-1", "apply-2", "apply-3")
"""What is applied to clusters."""

ALL = (SOURCE, NOTIFY, *APPLY)

_SOURCES = frozenset(
    {
        *("GitRepository", "OCIRepository", "HelmRepository", "HelmChart", "Bucket"),
        *("ExternalArtifact", "ArtifactGenerator"),
    }
)
_NOTIFIERS = frozenset({"Receiver", "Alert", "Provider"})


def shard_of(kind: str, cluster: str) -> str:
    """The shard of a resource of `kind` whose objects live on the cluster with id `cluster`."""
    if kind in _SOURCES:
        return SOURCE
    if kind in _NOTIFIERS:
        return NOTIFY
    return APPLY[crc32(cluster.encode()) % len(APPLY)]


def lane(shard: str) -> str:
    """The lane that a shard is part of: `source`, `notify` or `apply`."""
    return shard.partition("-")[0]


def shards_of(kind: str) -> tuple[str, ...]:
    """The shards that resources of `kind` can be in."""
    one = shard_of(kind, "")
    return APPLY if one in APPLY else (one,)
