"""What the registry tells consumers of an artifact: `status.artifact`, who made it and where it lies.

Owns the telling apart of our artifacts from everybody else's. Ours bear the fence of the run that made them and get a
key, always below their own source's folder of the store. All others have none: their URL is all there is. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from fleetbeat.api.meta import FENCE_KEY
from fleetbeat.artifacts.store import ArtifactStore, Source

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_MICROSECONDS = 1_000_000


def encode(store: ArtifactStore, source: Source, artifact: Mapping[str, Any]) -> bytes:
    """The record; equal artifacts have equal bytes. `store` only makes the key."""
    fields = {"fence": _fence(source, artifact), "uid": source.uid}
    if is_ours(artifact):
        fields["key"] = store.key(source, _filename(artifact), artifact["digest"])
    return msgspec.json.encode({**artifact, **fields})


def is_ours(artifact: Mapping[str, Any]) -> bool:
    """Whether a run of ours made it."""
    fence = str((artifact.get("metadata") or {}).get(FENCE_KEY, ""))
    return fence.isdecimal() and bool(_filename(artifact)) and _SHA256.fullmatch(artifact["digest"]) is not None


def _filename(artifact: Mapping[str, Any]) -> str:
    return str(artifact["path"]).rpartition("/")[2]


def _fence(source: Source, artifact: Mapping[str, Any]) -> int:
    """The fence of our run; of Flux's artifacts the time of storing in microseconds, as our fences are.

    Whoever writes an ExternalArtifact may put any time there, so it means nothing: 0.
    """
    if is_ours(artifact):
        return int(artifact["metadata"][FENCE_KEY])
    if source.kind == "ExternalArtifact":
        return 0
    try:
        return int(datetime.fromisoformat(str(artifact.get("lastUpdateTime"))).timestamp() * _MICROSECONDS)
    except ValueError:
        return 0
