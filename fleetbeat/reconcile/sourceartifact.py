"""A source's artifact as everybody else meets it, and what its runs remember of the store.

Owns the record that consumers read from the registry, and the memo. Pure: it asks neither Redis nor S3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import msgspec

from fleetbeat.api.meta import FENCE_KEY
from fleetbeat.artifacts import record
from fleetbeat.artifacts.store import NEWEST_KEPT, YOUNG_SECONDS, ArtifactStore, Source

Artifact = dict[str, Any]
"""`status.artifact` as JSON."""

BELIEVED = 300.0
"""Seconds for which a run believes that the artifact's object is still there: nobody else deletes below its folder."""
SWEPT = 1200.0
"""Seconds for which sweeps do, give or take a quarter, so that sources made together are not checked together."""
CROWD = 8
"""Artifacts beyond the kept ones that are not left until a quieter poll."""


def stored_artifact(status: Mapping[str, Any]) -> Artifact | None:
    """The artifact of an earlier run; one that has another kind of digest was left by Flux and counts as none."""
    artifact: Artifact | None = status.get("artifact")
    return artifact if artifact and artifact["digest"].startswith("sha256:") else None


def fence_of(artifact: Artifact) -> str:
    """The fence of the run that made it; 0 when it does not say."""
    return str((artifact.get("metadata") or {}).get(FENCE_KEY, "0"))


def key_of(store: ArtifactStore, source: Source, artifact: Artifact) -> str:
    """Where it lies in S3."""
    return store.key(source, artifact["path"].rpartition("/")[2], artifact["digest"])


def record_of(store: ArtifactStore, source: Source, artifact: Artifact) -> bytes:
    """What the registry tells consumers; equal artifacts have equal bytes."""
    return record.encode(store, source, artifact)


class Memo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What runs remember; all of it may be lost. Times are Unix seconds."""

    checked: float = 0.0
    """When S3 last had the artifact."""
    made: float = 0.0
    """When the last new one was stored."""
    stored: int = 0
    """How many there are; none is counted twice, a lost memo guesses."""
    failures: int = 0
    """Failed runs in a row."""
    verified: str = ""
    """Digest of all that the last check of signatures depended on; empty when it failed or there was none."""
    validator: str = ""
    """What upstream may be asked with whether anything changed, and what that speaks of; the kind's own words."""

    @classmethod
    def read(cls, memo: Mapping[str, Any] | bytes | None, artifact: Artifact | None) -> Memo:
        """The memo of a source; without one, a source with an artifact is taken to have what retention keeps anyway."""
        known = msgspec.json.decode(memo) if isinstance(memo, bytes) else memo or {}
        found = msgspec.convert(known, cls, strict=False)
        if found.checked or artifact is None:
            return found
        return msgspec.structs.replace(found, stored=NEWEST_KEPT)

    def believes(self, now: float) -> bool:
        """Whether a run need not look for the artifact's object."""
        return now - self.checked < BELIEVED

    def seen(self, ref: str, now: float) -> bool:
        """Whether a sweep may settle the source without a look at the store."""
        return now - self.checked < SWEPT * (0.75 + (crc32(ref.encode()) & 0xFF) / 512)

    def collects(self, now: float) -> bool:
        """Whether there are old artifacts that no consumer reads any more."""
        excess = self.stored - NEWEST_KEPT
        return excess > CROWD or (excess > 0 and now - self.made > YOUNG_SECONDS)


msgspec.json.Decoder(Memo)  # described now, while one thread is at work (see api/decode.py)
