"""Finished archives that several sources share."""

from __future__ import annotations

import io
import tempfile
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


def test_a_new_commit_copies_from_archives_on_the_shelf(worker: Worker, repo: GitRepo, tmp_path: Path) -> None:
    """The bytes are those of a worker that never saw the commits before; a damaged archive is not copied from."""
    tree = {f"d{n % 5}/f{n:03}.yaml": f"n: {n}\n" for n in range(300)}
    repo.commit(tree)
    assert worker.fetch(repo.url).archive is not None
    for text in ("a: 1\n", "a: 2\n"):
        repo.commit({"d1/f001.yaml": text})
        made = worker.fetch(repo.url).archive
        with tempfile.TemporaryDirectory(dir=tmp_path) as empty:
            anew = Worker(Path(empty)).fetch(repo.url).archive
        assert made is not None
        assert anew is not None
        with anew.file as file:
            assert made.file.read() == file.read()
        for kept in worker.cache.glob("git/*/archives/*.tar.gz"):
            kept.write_bytes(kept.read_bytes().replace(b"\x00", b"\x01"))


def test_what_is_noted_of_a_file_is_noted_again(worker: Worker, repo: GitRepo) -> None:
    """A pointer of Git LFS in a part that did not change is warned of at each new archive."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n"
    repo.commit({f"f{n:03}.yaml": f"n: {n}\n" for n in range(300)} | {"big.bin": pointer})
    for number in range(3):
        repo.commit({"f200.yaml": f"n: {number}\n"})
        assert "big.bin" in "".join(worker.fetch(repo.url).warnings)


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
