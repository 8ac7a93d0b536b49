"""What a source's stable link (`status.url`) means: the artifact that is published now.

That need not be the one stored last: a source may return to a content that the store has had all along.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from fleetbeat.api.kinds import KINDS
from fleetbeat.artifacts.store import Stored
from fleetbeat.errors import Rebuilding, StateUnavailable
from fleetbeat.state import State

_KINDS = {kind.singular: kind.name for kind in KINDS.values()}


def current(state: State, path: str) -> Stored | None:
    """The object behind a public path `<kind>/<namespace>/<name>/<file>` whose file is a stable link.

    None when the registry cannot say; then the newest in the store is the best guess.
    """
    singular, _, name = path.rpartition("/")[0].partition("/")
    kind = _KINDS.get(singular)
    try:
        record = state.artifact(f"{kind}/{name}") if kind else None
    except (Rebuilding, StateUnavailable):
        return None
    artifact = msgspec.json.decode(record) if record else {}
    if "key" not in artifact or "size" not in artifact:
        return None
    return Stored(artifact["key"], artifact["size"], datetime.now(UTC))
