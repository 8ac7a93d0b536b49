"""Puts the engine into the wheel, which thereby is for one platform.

The engine is the program that `FLEETBEAT_ENGINE` names, else the one that lies at its place in the package. Without one
the wheel is pure Python, and an engine must be found at run time (see `fleetbeat/render/engine.py`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "fleetbeat/render/bin/fleetbeat-engine"
"""Where the wheel carries it."""

_MACHINES = {62: "x86_64", 183: "aarch64"}
"""ELF's number of a machine → the name of it in platform tags."""


class EngineHook(BuildHookInterface[BuilderConfig]):
    """Called by hatchling before it collects a wheel's files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the engine and the platform's tag; an editable install takes neither."""
        if version == "editable":
            return
        engine = self._engine()
        if engine is None:
            self.app.display_warning(f"the wheel has no engine: neither $FLEETBEAT_ENGINE nor {PLACE}")
            return
        build_data["force_include"][str(engine)] = PLACE
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platforms(engine)}"

    def _engine(self) -> Path | None:
        named = os.environ.get("FLEETBEAT_ENGINE")
        if named and not Path(named).is_file():
            raise FileNotFoundError(f"FLEETBEAT_ENGINE={named} does not exist: build it with `make engine`")
        engine = Path(named).resolve() if named else Path(self.root, PLACE)
        return engine if engine.is_file() else None


def platforms(engine: Path) -> str:
    """The platforms that run it: every Linux of its machine, because a static program needs no C library."""
    with engine.open("rb") as file:
        header = file.read(20)
    machine = _MACHINES.get(int.from_bytes(header[18:20], "little"))
    if header[:4] != b"\x7fELF" or machine is None:
        raise ValueError(f"{engine} is no Linux program for {' or '.join(_MACHINES.values())}")
    return f"manylinux_2_17_{machine}.manylinux2014_{machine}.musllinux_1_1_{machine}"
