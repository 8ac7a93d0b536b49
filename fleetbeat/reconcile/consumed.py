"""A source's artifact as a consumer uses it: ours from S3, anybody else's from the URL in the source's status.

Owns where the bytes come from, and the order of artifacts. Records come from the registry; a record without `key` was
made by another controller and published by the registrar (hub/foreign.py).

The order: no consumer goes back to an artifact that was made before the one it applied. Among our own, the fence of
the run that made it decides, exactly. Flux's have none: the time at which Flux stored the artifact stands for it, which
may lag by the difference of two machines' clocks when another leader takes over. Whoever else writes ExternalArtifacts
may put any time there, so these have no order but that of the hub: the last status holds. An artifact of ours and one
of somebody else are never compared, so a source changes hands in either direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fleetbeat.api.refs import Ref
from fleetbeat.reconcile.context import Context
from fleetbeat.sources.remote import download

Record = Mapping[str, Any]
"""What the registry has of an artifact."""

CLOCKS = 300_000_000
"""Microseconds by which the clocks of two machines may differ."""


def is_ours(record: Record) -> bool:
    """Whether a run of ours made it, so that it lies in our store."""
    return "key" in record


def artifact_file(ctx: Context, record: Record) -> Path:
    """The artifact as a verified file of the cache on this disk.

    Raises ArtifactFailed (ArtifactMoving while it is being replaced) or StorageFailed.
    """
    if is_ours(record):
        return ctx.store.get(record["key"], record["digest"])
    return ctx.artifacts.fetch(record["digest"], partial(download, record["url"], record.get("size")))


def order_of(source: Ref, record: Record) -> str:
    """Within which artifacts are compared: one source as one object, made by us or by others."""
    identity = f"{source}@{record.get('uid', '')}"
    return identity if is_ours(record) else f"{identity}@elsewhere"


def is_older(record: Record, applied: int) -> bool:
    """Whether it was made before the one of the same order whose fence is `applied`."""
    return applied > int(record["fence"]) + (0 if is_ours(record) else CLOCKS)
