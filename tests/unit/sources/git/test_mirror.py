"""Mirrors on disk: one process at a time, and no more room than allowed."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from fleetbeat.errors import GitOperationFailed
from fleetbeat.sources.git import Deadline, GitLimits
from fleetbeat.sources.git.mirror import evict, open_mirror

pytestmark = pytest.mark.unit


def mirror(root: Path, name: str, size: int, age: float) -> Path:
    folder = root / name
    (folder / "packs").mkdir(parents=True)
    (folder / "packs" / "pack-1.pack").write_bytes(bytes(size))
    (folder / "commits").write_text("1" * 40)
    used = time.time() - age
    os.utime(folder, (used, used))
    return folder


def kept(*folders: Path) -> list[bool]:
    return [(folder / "commits").exists() for folder in folders]


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    """Above the limit mirrors are emptied, the oldest first, but never the one at hand."""
    old, middle, new = (mirror(tmp_path, name, 100, age) for name, age in (("a", 900), ("b", 600), ("c", 300)))
    evict(tmp_path, 1000, spare=new)
    assert kept(old, middle, new) == [True, True, True]
    evict(tmp_path, 250, spare=new)
    assert kept(old, middle, new) == [False, True, True]
    evict(tmp_path, 0, spare=new)
    assert kept(old, middle, new) == [False, False, True]


def test_a_mirror_in_use_stays(tmp_path: Path) -> None:
    """Another process's run does not lose its objects."""
    busy, idle = (mirror(tmp_path, name, 100, age) for name, age in (("a", 900), ("b", 600)))
    with (busy / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        evict(tmp_path, 50, spare=tmp_path / "other")
    assert kept(busy, idle) == [True, False]


def test_waiting_for_a_mirror_ends(tmp_path: Path) -> None:
    """A run that never gets the mirror fails at its deadline."""
    limits = GitLimits()
    with (
        open_mirror(tmp_path, "https://git.example/a", "x", limits, Deadline.after(10), 1000),
        pytest.raises(GitOperationFailed, match=r"not finished within spec.timeout \(0.2s\)"),
        open_mirror(tmp_path, "https://git.example/a", "x", limits, Deadline.after(0.2), 1000),
    ):
        pass


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    """A half-received pack does not stay."""
    arguments = (tmp_path, "https://git.example/a", "x", GitLimits(), Deadline.after(10), 1000)
    with open_mirror(*arguments):
        (packs,) = tmp_path.glob("git/*/packs")
        (packs / "new-123.pack").write_bytes(b"half")
    with open_mirror(*arguments):
        assert list(packs.iterdir()) == []
