"""What of a commit is in the archive: files that no rule excludes, and the same bytes from every worker."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fleetbeat.errors import GitOperationFailed
from tests.support.hostile import add_blob, add_tree, commit_tree
from tests.unit.sources.git.conftest import Worker, content
from tools.gitrepo import GitRepo

pytestmark = pytest.mark.unit


def test_ignore_rules(repo: GitRepo, worker: Worker) -> None:
    """Defaults, `.sourceignore` at each level and spec.ignore, in that order."""
    repo.commit(
        {"a.yaml": "1", "logo.png": "1", ".gitignore": "x", "sub/b.yaml": "1", "sub/c.md": "1", "sub/x/d.md": "1"}
    )
    assert set(content(worker.fetch(repo.url))) == {"a.yaml", "sub/b.yaml", "sub/c.md", "sub/x/d.md"}
    repo.commit({"sub/.sourceignore": "*.md\n!/c.md\n", "x/.sourceignore": "*.yaml\n"})
    assert set(content(worker.fetch(repo.url))) == {
        *("a.yaml", "logo.png", "sub/.sourceignore", "sub/b.yaml", "sub/c.md", "x/.sourceignore")
    }
    found = worker.fetch(repo.url, ignore="/*\n!/sub\n/sub/*.md\n!/x/.sourceignore")
    assert set(content(found)) == {"sub/.sourceignore", "sub/b.yaml", "sub/x/d.md", "x/.sourceignore"}


def test_an_excluded_directory_has_no_say(repo: GitRepo, worker: Worker) -> None:
    """`.sourceignore` below an excluded directory is not read, so the other rules stay as they are."""
    repo.commit(
        {".sourceignore": "vendor/\n", "vendor/.sourceignore": "*\n!../a.yaml\n", "a.yaml": "1", "vendor/b": "1"}
    )
    assert set(content(worker.fetch(repo.url))) == {".sourceignore", "a.yaml"}


def test_sparse_checkout(repo: GitRepo, worker: Worker) -> None:
    """Only the directories that are named; one that is missing fails."""
    repo.commit({"a/x/1": "1", "a/y/2": "2", "b/3": "3", "root": "4"})
    assert set(content(worker.fetch(repo.url, sparseCheckout=["./a/x", "b/"]))) == {"a/x/1", "b/3"}
    with pytest.raises(GitOperationFailed, match="no directory 'a/z'"):
        worker.fetch(repo.url, sparseCheckout=["a/x", "a/z"])


def test_symlinks_and_submodules_are_dropped(repo: GitRepo, worker: Worker) -> None:
    """Neither can lead a consumer out of the archive."""
    file, target = add_blob(repo), add_blob(repo, b"../../etc/passwd")
    tree = add_tree(repo, (b"100644", b"a", file), (b"120000", b"link", target), (b"160000", b"module", "1" * 40))
    commit_tree(repo, tree)
    assert content(worker.fetch(repo.url)) == {"a": b"x: 1\n"}


def test_the_same_commit_gives_the_same_bytes(repo: GitRepo, tmp_path: Path) -> None:
    """Workers with different histories and caches, in different processes, make one artifact."""
    repo.commit({f"d{number % 7}/f{number}.yaml": "x: 1\n" * number for number in range(300)})
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from fleetbeat.api.source import GitRef, GitRepositorySpec
        from fleetbeat.sources.git import Deadline, fetch
        for branch in sys.argv[3:]:
            spec = GitRepositorySpec(interval="1m", url=sys.argv[1], ref=GitRef(branch=branch))
            result = fetch(spec, None, None, Path(sys.argv[2]), Deadline.after(60))
            result.archive.close()
        print(result.archive.digest)
    """)
    repo.point("refs/heads/old", repo.head())
    repo.commit({"d1/f1.yaml": "changed", "new": "1"})
    digests = {
        subprocess.run(
            [sys.executable, "-c", program, repo.url, str(tmp_path / str(number)), *branches],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number, branches in enumerate([["main"], ["old", "main"]])
    }
    assert len(digests) == 1
