"""The settings that an OCI artifact is made with, as its status remembers them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fleetbeat.api.source import LayerSelector, OCIRepositorySpec


def facts_of(spec: OCIRepositorySpec) -> dict[str, Any]:
    """The status fields that tell them; None where a spec says nothing."""
    selector = spec.layer_selector
    return {
        "observedIgnore": spec.ignore,
        "observedLayerSelector": msgspec.to_builtins(selector) if selector else None,
    }


def same_facts(status: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Whether an artifact of that status was made with those settings; absent and empty are the same."""
    return all((status.get(name) or None) == (value or None) for name, value in facts.items())


msgspec.to_builtins(LayerSelector())  # described now, while one thread is at work (see api/decode.py)
