"""Whether a person stopped the reconciling of a resource: by its spec or, for ArtifactGenerators, by an annotation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RECONCILE = "source.extensions.fluxcd.io/reconcile"
"""Annotation that pauses an ArtifactGenerator with the value `disabled`."""


def is_suspended(kind: str, obj: Mapping[str, Any]) -> bool:
    """Total: whatever the API server may send."""
    if kind == "ArtifactGenerator":
        switch = (obj["metadata"].get("annotations") or {}).get(RECONCILE, "")
        return str(switch).lower() == "disabled"
    spec = obj.get("spec")
    return isinstance(spec, Mapping) and bool(spec.get("suspend"))
