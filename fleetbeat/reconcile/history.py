"""`status.history`: the last five distinct ends of a resource's runs, newest first, as Flux writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LIMIT = 5


def record(
    history: Sequence[Mapping[str, Any]],
    digest: str,
    outcome: str,
    now: str,
    seconds: float,
    metadata: Mapping[str, str],
) -> list[dict[str, Any]]:
    """The history after one more run; a repeat of the same build and outcome updates its entry."""
    entries = [dict(entry) for entry in history]
    same = next((e for e in entries if e.get("digest") == digest and e.get("lastReconciledStatus") == outcome), None)
    if same is None:
        same = {"digest": digest, "firstReconciled": now, "totalReconciliations": 0}
    else:
        entries.remove(same)
    same |= {
        "lastReconciled": now,
        "lastReconciledDuration": f"{max(seconds, 0.001):.3f}s",
        "lastReconciledStatus": outcome,
        "totalReconciliations": int(same.get("totalReconciliations", 0)) + 1,
        "metadata": dict(metadata),
    }
    return [same, *entries][:LIMIT]
