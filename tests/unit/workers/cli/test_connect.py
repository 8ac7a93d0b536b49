"""Kubeconfig files are found and merged by kubectl's rules."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from fleetbeat.errors import CommandFailed
from workers.cli.connect import kubeconfig_files, merged

pytestmark = pytest.mark.unit


def write(path: Path, name: str, *, current: str = "", ca: str = "ca.crt") -> Path:
    """A kubeconfig with one cluster, user and context of that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "current-context": current,
        "clusters": [{"name": name, "cluster": {"server": f"https://{path.stem}", "certificate-authority": ca}}],
        "users": [{"name": name, "user": {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def test_an_explicit_file_must_exist(tmp_path: Path) -> None:
    """--kubeconfig with a typing error names the file."""
    with pytest.raises(CommandFailed, match="nowhere does not exist"):
        kubeconfig_files(tmp_path / "nowhere", {})


def test_kubeconfig_may_list_files_that_are_absent(tmp_path: Path) -> None:
    """As with kubectl, only the ones that exist are read; none at all is an error."""
    there = write(tmp_path / "a.yaml", "a")
    listed = os.pathsep.join([str(tmp_path / "absent"), str(there)])
    assert kubeconfig_files(None, {"KUBECONFIG": listed}) == [there]
    with pytest.raises(CommandFailed, match="KUBECONFIG names"):
        kubeconfig_files(None, {"KUBECONFIG": str(tmp_path / "absent")})


def test_the_first_entry_of_a_name_wins(tmp_path: Path) -> None:
    """Merging keeps the first cluster of a name and the first current context, and anchors relative paths."""
    first = write(tmp_path / "one" / "first.yaml", "a")
    second = write(tmp_path / "two" / "second.yaml", "a", current="a")
    third = write(tmp_path / "two" / "third.yaml", "b", current="b", ca="/abs/ca.crt")
    whole = merged([first, second, third])
    assert whole["current-context"] == "a"
    assert [c["cluster"]["server"] for c in whole["clusters"]] == ["https://first", "https://third"]
    assert [c["cluster"]["certificate-authority"] for c in whole["clusters"]] == [
        str(tmp_path / "one" / "ca.crt"),
        "/abs/ca.crt",
    ]


@pytest.mark.parametrize("text", ["- a list", "a: [", ""])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    """The error names the file, never its content."""
    (tmp_path / "broken").write_text(text)
    with pytest.raises(CommandFailed, match="broken"):
        merged([tmp_path / "broken"])
