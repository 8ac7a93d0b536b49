"""Whether a source is as its last run left it, so that only its upstream can have changed. Of all kinds that are swept.

Reads what a sweep was handed from Redis; asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import Any, NamedTuple

import msgspec

from fleetbeat.api.conditions import is_ready
from fleetbeat.api.meta import REQUESTED_AT
from fleetbeat.api.refs import Ref
from fleetbeat.artifacts.store import Source
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.sourceartifact import Artifact, Memo, record_of, stored_artifact
from fleetbeat.state import Look


class Known(NamedTuple):
    """A source that needs no run of its own unless its upstream has moved."""

    ref: Ref
    obj: dict[str, Any]
    status: dict[str, Any]
    artifact: Artifact
    memo: Memo
    unseen: bool
    """Whether its object has to be looked for in the store."""


def known(ctx: Context, look: Look, memo: bytes | None, record: bytes | None) -> Known | str:
    """What its registry entry, memo and published artifact say, or why it needs a run whatever its upstream says."""
    obj, status = msgspec.json.decode(look.obj), msgspec.json.decode(look.status or b"{}")
    artifact, ref = stored_artifact(status), Ref.parse(look.ref)
    source = Source(ref.kind, ref.namespace, ref.name, look.uid)
    if not _is_settled(obj, status, look.generation):
        return "it is not settled"
    if artifact is None or record != record_of(ctx.store, source, artifact):
        return "its artifact is not published"
    remembered = Memo.read(memo, artifact)
    if remembered.collects(time()):
        return "old artifacts are removed"
    return Known(ref, obj, status, artifact, remembered, not remembered.seen(look.ref, time()))


def _is_settled(obj: Mapping[str, Any], status: Mapping[str, Any], generation: int) -> bool:
    """Ready at the generation that is to be, and nobody waits for an acknowledgement."""
    meta = obj["metadata"]
    token = (meta.get("annotations") or {}).get(REQUESTED_AT)
    current = status.get("observedGeneration") == generation == meta.get("generation", 0)
    asked = bool(token) and token != status.get("lastHandledReconcileAt")
    return is_ready(status) and current and not asked and not meta.get("deletionTimestamp")
