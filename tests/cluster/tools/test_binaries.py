"""Programs of the bench: found where the user has them, else built once and again when their sources change."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tools import binaries
from tools.binaries import BuildError, Program

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(shutil.which("go") is None, reason="needs Go on PATH")]

SOURCE = 'package main\n\nfunc main() { println("%s") }\n'


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A program of two lines in a module of its own, with an empty cache."""
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.com/greet\n\ngo 1.26\n")
    (folder / "main.go").write_text(SOURCE % "hello")
    made = Program("greet", str(folder), ".", own_sources=True)
    monkeypatch.setitem(binaries.PROGRAMS, "greet", made)
    monkeypatch.setenv("FLEETBEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return made


def said(path: Path) -> str:
    """What the program says."""
    return subprocess.run([path], capture_output=True, text=True, check=True).stderr.strip()


def test_a_program_is_built_once_and_again_when_it_changed(program: Program) -> None:
    """The second look finds it built; a changed source is built again, a changed test is not."""
    lines: list[str] = []
    assert said(binaries.find("greet", lines.append)) == "hello"
    assert lines[-1].startswith("built greet in ")
    lines.clear()
    (program.folder / "main_test.go").write_text("package main\n")
    assert said(binaries.find("greet", lines.append)) == "hello"
    assert not lines
    (program.folder / "main.go").write_text(SOURCE % "good morning")
    assert said(binaries.find("greet", lines.append)) == "good morning"


def test_a_failed_build_names_the_line_and_leaves_nothing(program: Program) -> None:
    """The compiler's words reach the user, and no broken program stays in the cache."""
    (program.folder / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")
    with pytest.raises(BuildError, match=r"main\.go:3:15: undefined"):
        binaries.find("greet", lambda line: None)
    assert not (binaries.cache() / "greet").exists()


@pytest.mark.usefixtures("program")
def test_the_users_own_binaries_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in $KUBEBUILDER_ASSETS is taken as it is."""
    (tmp_path / "greet").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert binaries.find("greet") == tmp_path / "greet"
