"""Whose `managedFields` entries are taken over.

What kubectl, clients from before server-side apply, and our own updates own becomes ours, so that the apply that
follows removes what is not desired.

Pure functions over decoded managedFields. The manager `flux-client-side-apply` is never one of these: under its name a
person keeps fields on purpose (`kubectl apply --field-manager=flux-client-side-apply`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fleetbeat.kube.fields import union
from fleetbeat.kube.marks import MANAGER

Entry = Mapping[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SPARED = "flux-client-side-apply"
_APPLY, _UPDATE = "Apply", "Update"


def is_ours(entry: Entry) -> bool:
    """Our own apply entry."""
    return entry.get("manager") == MANAGER and entry.get("operation") == _APPLY and not entry.get("subresource")


def is_taken_over(entry: Entry, overridden: Sequence[str] = ()) -> bool:
    """True for an entry whose fields become ours. `overridden`: how further managers' names begin, as kubectl's do."""
    manager, operation = entry.get("manager") or "", entry.get("operation")
    if entry.get("subresource") or manager == SPARED:
        return False
    if manager.startswith(("kubectl", *overridden)):
        return True
    return operation == _UPDATE and manager in ("before-first-apply", MANAGER)


def own_fields(entries: Sequence[Entry]) -> Mapping[str, Any] | None:
    """The field set of our apply entry, None when there is none: never applied, or managedFields were stripped."""
    for entry in entries:
        if is_ours(entry):
            return entry.get("fieldsV1") or {}
    return None


def taken_over(entries: Sequence[Entry], overridden: Sequence[str] = ()) -> list[dict[str, Any]] | None:
    """The entries with all that is taken over joined into ours; None when there is nothing to take over."""
    matched = [entry for entry in entries if is_taken_over(entry, overridden)]
    if not matched:
        return None
    ours = next((entry for entry in entries if is_ours(entry)), None)
    merged = {**(ours or matched[0]), "manager": MANAGER, "operation": _APPLY}
    for entry in matched:
        merged["fieldsV1"] = union(merged.get("fieldsV1") or {}, entry.get("fieldsV1") or {})
    rest = [dict(entry) for entry in entries if entry is not ours and not is_taken_over(entry, overridden)]
    return [merged, *rest]


def takeover_patch(live: Mapping[str, Any], overridden: Sequence[str] = ()) -> list[dict[str, Any]] | None:
    """The JSON patch that takes over, valid for exactly this resourceVersion; None when there is nothing to do."""
    metadata = live["metadata"]
    patch: list[dict[str, Any]] = []
    entries = taken_over(metadata.get("managedFields") or [], overridden)
    if entries is not None:
        patch.append({"op": "replace", "path": "/metadata/managedFields", "value": entries})
    if LAST_APPLIED in (metadata.get("annotations") or {}):
        patch.append({"op": "remove", "path": f"/metadata/annotations/{LAST_APPLIED.replace('/', '~1')}"})
    if not patch:
        return None
    # Replacing the version with itself makes the API server answer 409 when the object has moved on.
    patch.append({"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]})
    return patch
