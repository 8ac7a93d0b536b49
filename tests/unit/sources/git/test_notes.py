"""What a source tells of content that consumers may miss."""

from __future__ import annotations

import pytest

from tests.unit.sources.git.conftest import Worker, content
from tools.gitrepo import GitRepo

pytestmark = pytest.mark.unit

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"


def test_lfs_pointers_are_warned_of(worker: Worker, repo: GitRepo) -> None:
    """The first files and the fix are named, from the shelf too; files that only speak of LFS are none."""
    pointers = {f"m{number}.bin": POINTER for number in range(5)}
    repo.commit({**pointers, "doc.txt": f"see\n{POINTER}", "big.txt": POINTER + "x" * 1024})
    for _ in range(2):
        (warning,) = worker.fetch(repo.url).warnings
        assert "m0.bin, m1.bin, m2.bin and 2 more" in warning
        assert "spec.ignore" in warning


def test_ignored_pointers_are_nobodys_business(worker: Worker, repo: GitRepo) -> None:
    """What is not in the archive is not warned of."""
    repo.commit({"m.bin": POINTER, "a.yaml": "a: 1\n"})
    found = worker.fetch(repo.url, ignore="*.bin")
    assert (found.warnings, set(content(found))) == ((), {"a.yaml"})


def test_links_are_named(worker: Worker, repo: GitRepo) -> None:
    """A build that misses a file finds the reason in the source's events."""
    repo.commit({"a.yaml": "a: 1\n", "b.yaml": "a.yaml"}, modes={"b.yaml": 0o120000})
    found = worker.fetch(repo.url)
    assert found.left_out == ("symbolic links are left out: b.yaml; a build finds no file there",)
    assert found.links == worker.fetch(repo.url).links == ("b.yaml",), "kept on the shelf too"
