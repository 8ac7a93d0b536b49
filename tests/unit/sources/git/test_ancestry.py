"""A commit that is named together with a branch must lie on that branch."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import pytest

from fleetbeat.errors import GitOperationFailed
from tests.unit.sources.git.conftest import Worker, content
from tools.gitrepo import GitRepo


def git(repo: GitRepo, *words: str) -> str:
    """Real Git's answer, in that repository."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    command = ["git", "-C", str(repo.path), *identity, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@dataclass
class History:
    """first ─ second ─ merge (main), where side left at first and was merged; other goes on from second."""

    repo: GitRepo
    first: str
    second: str
    side: str
    merge: str
    other: str


@pytest.fixture(params=["filter", "no filter", "oldest protocol"])
def history(request: pytest.FixtureRequest, repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> History:
    """The repository on a server of each sort."""
    if request.param == "no filter":
        git(repo, "config", "uploadpack.allowFilter", "false")
    elif request.param == "oldest protocol":
        monkeypatch.setattr("dulwich.client.DEFAULT_GIT_PROTOCOL_VERSION_FETCH", 0)
    first = repo.commit({"a": "1"})
    repo.point("refs/heads/side", first)
    side = repo.commit({"b": "1"}, branch="side")
    second = repo.commit({"a": "2"})
    merge = git(repo, "commit-tree", f"{second}^{{tree}}", "-p", second, "-p", side, "-m", "merge")
    repo.point("refs/heads/main", merge)
    repo.point("refs/heads/other", second)
    other = repo.commit({"c": "1"}, branch="other")
    git(repo, "repack", "-adb")
    return History(repo, first, second, side, merge, other)


@pytest.mark.parametrize("name", ["first", "second", "side", "merge"])
def test_a_commit_of_the_branch(history: History, worker: Worker, name: str) -> None:
    """Its tip, its ancestors and what was merged into it are on it."""
    commit = getattr(history, name)
    found = worker.fetch(history.repo.url, {"commit": commit, "branch": "main"})
    assert found.revision == f"main@sha1:{commit}"
    assert git(history.repo, "ls-tree", "--name-only", commit).split() == list(content(found))


@pytest.mark.parametrize(("name", "branch"), [("other", "main"), ("merge", "other"), ("second", "side")])
def test_a_commit_of_another_branch(history: History, worker: Worker, name: str, branch: str) -> None:
    """One that left the branch, or that is only built on it, is refused by name, also when its archive is at hand."""
    commit = getattr(history, name)
    worker.fetch(history.repo.url, {"commit": commit})
    with pytest.raises(GitOperationFailed, match=rf"{commit} \(spec.ref.commit\) is not on the branch '{branch}'"):
        worker.fetch(history.repo.url, {"commit": commit, "branch": branch})
    assert not list(worker.cache.glob("git/*/scratch"))


def test_a_branch_that_is_not_there(history: History, worker: Worker) -> None:
    """It is named."""
    with pytest.raises(GitOperationFailed, match="no branch 'nope'"):
        worker.fetch(history.repo.url, {"commit": history.merge, "branch": "nope"})


def test_what_a_killed_worker_left_is_no_hindrance(history: History, worker: Worker) -> None:
    """It goes with the next question."""
    worker.fetch(history.repo.url, {"commit": history.first})
    (mirror,) = worker.cache.glob("git/*")
    (mirror / "scratch").mkdir()
    (mirror / "scratch" / "new.pack").write_bytes(b"half a pack")
    assert worker.fetch(history.repo.url, {"commit": history.first, "branch": "main"}).revision.startswith("main@")
    assert not (mirror / "scratch").exists()
