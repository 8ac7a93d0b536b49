"""Content of other sources in an archive: where it goes, and what does not fit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from fleetbeat.artifacts.archive import Entry, write_archive
from fleetbeat.errors import IncludeNotCopied, InvalidSpec
from fleetbeat.sources.git import Included, Observed
from fleetbeat.sources.git.plan import Include
from tests.unit.sources.git.conftest import Worker, content
from tools.gitrepo import GitRepo
from tools.gitserver import GitServer

pytestmark = pytest.mark.unit


def artifact(folder: Path, files: dict[str, str]) -> Included:
    """An archive as another source made it, directories included."""
    directories = {path.rpartition("/")[0] for path in files} - {""}
    entries = [Entry(path) for path in directories] + [Entry(path, text.encode) for path, text in files.items()]
    entries.sort(key=lambda entry: entry.path)
    archive = write_archive(entries, io.BytesIO())
    file = folder / archive.digest
    file.write_bytes(archive.file.read())
    return Included(archive.digest, lambda: file)


@pytest.fixture
def other(tmp_path: Path) -> Included:
    return artifact(tmp_path, {"README.txt": "r", "apps/a.yaml": "a: 1\n", "apps/b.yaml": "b: 1\n"})


def include(**fields: str) -> dict[str, Any]:
    return {"repository": {"name": "other"}, **fields}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"other/README.txt", "other/apps/a.yaml", "other/apps/b.yaml"}),
        ({"fromPath": "apps"}, {"other/a.yaml", "other/b.yaml"}),
        ({"fromPath": "./apps/", "toPath": "/x/y/"}, {"x/y/a.yaml", "x/y/b.yaml"}),
        ({"fromPath": "apps/a.yaml", "toPath": "one.yaml"}, {"one.yaml"}),
        ({"toPath": "."}, {"README.txt", "apps/a.yaml", "apps/b.yaml"}),
        ({"fromPath": "apps", "toPath": "own"}, {"own/a.yaml", "own/b.yaml"}),
    ],
)
def test_where_content_goes(
    worker: Worker, repo: GitRepo, other: Included, fields: dict[str, str], expected: set[str]
) -> None:
    """Below `toPath`, or the other's name; directories that are there already are shared."""
    repo.commit({"own/own.yaml": "o: 1\n"})
    found = worker.fetch(repo.url, include=[include(**fields)], included=[other])
    assert set(content(found)) == {"own/own.yaml", *expected}


def test_the_archive_is_as_if_all_were_one_commit(
    worker: Worker, repo: GitRepo, git_server: GitServer, tmp_path: Path
) -> None:
    """The same bytes, ignore rules of both sides included."""
    other = artifact(tmp_path, {".sourceignore": "*.md\n", "x.md": "1", "x.yaml": "1", "z/z.txt": "1"})
    repo.commit({"a.yaml": "1", "m.md": "1", "zz.yaml": "1"})
    twin = git_server.create(f"{repo.path.name}-twin")
    twin.commit({"a.yaml": "1", "m.md": "1", "zz.yaml": "1"})
    twin.commit({"m/.sourceignore": "*.md\n", "m/x.md": "1", "m/x.yaml": "1", "m/z/z.txt": "1"})
    composed = worker.fetch(repo.url, include=[include(toPath="m")], included=[other], ignore="zz.yaml")
    plain = worker.fetch(twin.url, ignore="zz.yaml")
    assert composed.archive is not None
    assert plain.archive is not None
    assert set(content(composed)) == {"a.yaml", "m.md", "m/.sourceignore", "m/x.yaml", "m/z/z.txt"}
    assert composed.archive.digest == plain.archive.digest


def test_the_order_of_includes_is_kept(worker: Worker, repo: GitRepo, tmp_path: Path) -> None:
    """Each entry gets its own artifact."""
    first, second = (artifact(tmp_path, {"f": text}) for text in ("1", "2"))
    repo.commit({"a": "1"})
    entries = [include(toPath="one"), include(toPath="two")]
    found = worker.fetch(repo.url, include=entries, included=[first, second])
    assert content(found) == {"a": b"1", "one/f": b"1", "two/f": b"2"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fromPath": "nowhere"}, "'other' has no 'nowhere'"),
        ({"toPath": "file"}, "'file' is there already"),
        ({"toPath": "file/below"}, "'file' is there already"),
        ({"fromPath": "README.txt", "toPath": "own"}, "'own' is there already"),
        ({"fromPath": "apps", "toPath": "taken"}, "'taken/a.yaml' is there already"),
    ],
)
def test_what_does_not_fit(
    worker: Worker, repo: GitRepo, other: Included, fields: dict[str, str], message: str
) -> None:
    """Nothing is replaced silently; the message names path and source."""
    repo.commit({"file": "1", "own/own.yaml": "1", "taken/a.yaml": "1"})
    with pytest.raises(IncludeNotCopied, match=message):
        worker.fetch(repo.url, include=[include(**fields)], included=[other])


@pytest.mark.parametrize("fields", [{"fromPath": "../x"}, {"toPath": "../x"}, {"toPath": "a/../../x"}])
def test_paths_that_leave(worker: Worker, repo: GitRepo, other: Included, fields: dict[str, str]) -> None:
    """They are the user's to mend."""
    with pytest.raises(InvalidSpec, match=r"spec\.include\[0\]\..*leaves the repository"):
        worker.fetch(repo.url, include=[include(**fields)], included=[other])


def test_a_changed_include_makes_another_artifact(worker: Worker, repo: GitRepo, tmp_path: Path) -> None:
    """The same commit with the same included artifact is the same; with another one, or elsewhere, it is not."""
    first, second = (artifact(tmp_path, {"f": text}) for text in ("1", "2"))
    head = repo.commit({"a": "1"})
    observed = Observed(f"main@sha1:{head}", includes=(Include("other", "", "other", first.digest),))

    def unchanged(included: Included, **fields: str) -> bool:
        found = worker.fetch(repo.url, include=[include(**fields)], included=[included], observed=observed)
        return found.unchanged

    assert unchanged(first)
    assert not unchanged(second)
    assert not unchanged(first, toPath="x")
    assert not worker.fetch(repo.url, observed=observed).unchanged
