"""The real sops, the engine's child, and a key ring of the tool's own key."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbeat.render.sops.keys import Keys, keys_of
from tests.support.sopstool import SopsTool
from tests.unit.render.conftest import engine, engine_binary, pack

__all__ = ["engine", "engine_binary", "pack"]


@pytest.fixture
def tool(tmp_path: Path) -> SopsTool:
    """A sops with an age key of its own."""
    folder = tmp_path / "sops"
    folder.mkdir()
    return SopsTool(folder)


@pytest.fixture
def keys(tool: SopsTool) -> Keys:
    """What the Secret of that key gives."""
    return keys_of({"me.agekey": tool.agekey.encode()}, "Secret team/keys")
