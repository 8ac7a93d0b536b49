"""The labels and annotations that we write and obey. Owns their names and what their values mean. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetbeat.api.refs import Ref

GROUP = "kustomize.toolkit.fluxcd.io"
NAME = f"{GROUP}/name"
NAMESPACE = f"{GROUP}/namespace"
HUB = "fleetbeat.io/hub"
"""A label that earlier versions put on every object. No longer written; obeyed where another hub's id stands in it."""
MANAGER = "kustomize-controller"
"""Our field manager: Flux's own name, so that neither takeover nor hand-back moves ownership."""

Metadata = Mapping[str, Any]
"""`metadata` of an object, or anything with `labels` and `annotations`."""


OWNED = f"{NAME},{NAMESPACE}"
"""Selects by label what some Kustomization applied: ours, another hub's or Flux's. Ledgers tell which is whose."""


def owner_labels(owner: Ref) -> dict[str, str]:
    """Whose an object is, exactly as Flux writes it: anything more would be drift to `flux diff`."""
    return {NAME: owner.name, NAMESPACE: owner.namespace}


def selector(owner: Ref) -> str:
    """Selects by label what carries this owner's name."""
    return f"{NAME}={owner.name},{NAMESPACE}={owner.namespace}"


def is_owned(labels: Mapping[str, str], owner: Ref, hub_id: str) -> bool:
    """True when the labels name exactly this owner and no other hub."""
    return owner_labels(owner).items() <= labels.items() and labels.get(HUB, hub_id) == hub_id


def owned_by_another(labels: Mapping[str, str], owner: Ref, hub_id: str) -> str:
    """Who else claims the object, "" when nobody does."""
    theirs = labels.get(NAMESPACE, ""), labels.get(NAME, "")
    if any(theirs) and theirs != (owner.namespace, owner.name):
        return f"Kustomization {theirs[0]}/{theirs[1]}"
    if labels.get(HUB, hub_id) != hub_id:
        return f"hub {labels[HUB]}"
    return ""


def _says(metadata: Metadata, key: str, value: str) -> bool:
    marks = (metadata.get("labels") or {}), (metadata.get("annotations") or {})
    return any(str(mark.get(f"{GROUP}/{key}", "")).lower() == value for mark in marks)


def ignored(metadata: Metadata) -> bool:
    """Neither applied nor pruned."""
    return _says(metadata, "reconcile", "disabled") or _says(metadata, "ssa", "ignore")


def once(metadata: Metadata) -> bool:
    """Created once, never updated."""
    return _says(metadata, "ssa", "ifnotpresent")


def merges(metadata: Metadata) -> bool:
    """Fields that kubectl added survive."""
    return _says(metadata, "ssa", "merge")


def forced(metadata: Metadata) -> bool:
    """Made anew when the API server rejects a change."""
    return _says(metadata, "force", "enabled")


def kept(metadata: Metadata) -> bool:
    """Never pruned."""
    return _says(metadata, "prune", "disabled")
