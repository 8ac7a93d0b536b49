"""Finished archives that several sources share."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from fleetbeat.artifacts.archive import Entry, write_archive
from fleetbeat.sources.git.shelf import KEPT, Label, Shelf
from tests.unit.sources.git.conftest import Worker, content
from tools.gitrepo import GitRepo
from tools.gitserver import GitServer

pytestmark = pytest.mark.unit


def put(shelf: Shelf, name: str, text: str = "a: 1") -> bytes:
    archive = write_archive([Entry("a.yaml", text.encode)], io.BytesIO())
    shelf.keep(name, archive, Label(archive.digest, archive.size, archive.entries, "subject", ("careful",)))
    return archive.file.read()


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    """With its digest, size and the commit's subject; the given archive is still at its start."""
    shelf = Shelf(tmp_path / "archives")
    data = put(shelf, "one")
    found = shelf.find("one")
    assert found is not None
    archive, label = found
    with archive.file as file:
        assert (file.read(), archive.size, label.subject) == (data, len(data), "subject")
    assert label.warnings == ("careful",)
    assert shelf.find("other") is None


@pytest.mark.parametrize("damage", [b"", b"other bytes"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes) -> None:
    """What a killed process left half written does not become an artifact."""
    shelf = Shelf(tmp_path / "archives")
    put(shelf, "one")
    (tmp_path / "archives" / "one.tar.gz").write_bytes(damage)
    assert shelf.find("one") is None


def test_only_the_last_ones_stay(tmp_path: Path) -> None:
    """A mirror of a busy repository does not fill the disk."""
    shelf = Shelf(tmp_path / "archives")
    for number in range(KEPT + 3):
        put(shelf, f"n{number}")
    assert len(list((tmp_path / "archives").iterdir())) == 2 * KEPT


def test_equal_sources_share_an_archive(worker: Worker, repo: GitRepo, git_server: GitServer) -> None:
    """Another commit, other rules or another directory make another one."""
    repo.commit({"a.yaml": "a: 1\n", "b/b.yaml": "b: 1\n"})
    first, again = worker.fetch(repo.url), worker.fetch(repo.url)
    assert first.archive is not None
    assert again.archive is not None
    assert (again.archive.digest, again.subject) == (first.archive.digest, first.subject)
    assert content(worker.fetch(repo.url, ignore="/b/")) == {"a.yaml": b"a: 1\n"}
    assert content(worker.fetch(repo.url, sparseCheckout=["b"])) == {"b/b.yaml": b"b: 1\n"}
    repo.commit({"a.yaml": "a: 2\n"})
    assert content(worker.fetch(repo.url))["a.yaml"] == b"a: 2\n"
    assert git_server.counts(repo.url.rpartition("/")[2])["fetch"] == 2
