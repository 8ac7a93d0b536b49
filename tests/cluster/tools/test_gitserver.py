"""The bench's Git server, tried with Git's own client and with dulwich."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from dulwich import porcelain

from tools import gitserver
from tools.gitrepo import GitRepo
from tools.gitserver import Access, Faults, GitServer

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(shutil.which("git") is None, reason="needs git on PATH")]


@pytest.fixture(params=["git", "dulwich"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both programs that can answer: Git's own, and dulwich where Git is absent."""
    if request.param == "dulwich":
        monkeypatch.setattr(gitserver, "has_git", lambda: False)


@pytest.fixture
def server(git_server: GitServer) -> Iterator[GitServer]:
    """The shared server, left as it was found."""
    yield git_server
    git_server.access, git_server.faults = Access(), Faults()
    git_server.start()


@pytest.fixture
def repo(server: GitServer) -> GitRepo:
    """A repository with one commit: two files, one of them executable."""
    made = server.create(f"repo-{uuid.uuid4().hex[:8]}")
    made.commit({"apps/web.yaml": "kind: ConfigMap\n", "run.sh": "#!/bin/sh\n"}, modes={"run.sh": 0o100755})
    return made


def git(*arguments: str | Path, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real git, without the user's configuration."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_TERMINAL_PROMPT": "0", **environment}
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    return subprocess.run(["git", *identity, *arguments], env=variables, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("backend")
def test_git_clones_and_pushes(repo: GitRepo, tmp_path: Path) -> None:
    """A clone has files, modes and tags; a push arrives."""
    repo.tag("v1.0.0", message="first")
    assert git("clone", repo.url, tmp_path / "clone", home=tmp_path).returncode == 0
    assert os.access(tmp_path / "clone/run.sh", os.X_OK)
    assert git("-C", tmp_path / "clone", "tag", home=tmp_path).stdout == "v1.0.0\n"
    (tmp_path / "clone/new.yaml").write_text("kind: Secret\n")
    for command in (["add", "."], ["commit", "-m", "new"], ["push"]):
        done = git("-C", tmp_path / "clone", *command, home=tmp_path)
        assert done.returncode == 0, done.stderr
    assert repo.files()["new.yaml"] == b"kind: Secret\n"


@pytest.mark.usefixtures("backend")
def test_dulwich_clones_with_a_login(server: GitServer, repo: GitRepo, tmp_path: Path) -> None:
    """Basic auth is demanded and accepted."""
    server.access.basic = ("user", "secret")
    with porcelain.clone(
        repo.url, tmp_path / "clone", username="user", password="secret", depth=1, errstream=io.BytesIO()
    ) as clone:
        assert clone.head().decode() == repo.head()
    refused = git("clone", repo.url.replace("//", "//user:wrong@"), tmp_path / "refused", home=tmp_path)
    assert "Authentication failed" in refused.stderr


def test_a_bearer_token_is_accepted(server: GitServer, repo: GitRepo, tmp_path: Path) -> None:
    """A token in the Authorization header opens, nothing else does."""
    server.access.bearer = "token"
    header = "http.extraHeader=Authorization: Bearer token"
    assert git("-c", header, "ls-remote", repo.url, home=tmp_path).returncode == 0
    assert git("ls-remote", repo.url, home=tmp_path).returncode != 0


def test_tls_wants_trust_and_client_certificates(tmp_path: Path) -> None:
    """HTTPS is signed by the server's own authority; with client certificates, both sides are checked."""
    with GitServer(tmp_path / "srv", client_certificates=True) as server:
        repo = server.create("private")
        repo.commit({"a": "b"})
        pair = server.client_certificate()
        (tmp_path / "ca.pem").write_bytes(server.ca)
        (tmp_path / "client.pem").write_bytes(pair.certificate + pair.key)
        trusted = {"GIT_SSL_CAINFO": str(tmp_path / "ca.pem")}
        known = {"GIT_SSL_CERT": str(tmp_path / "client.pem"), "GIT_SSL_KEY": str(tmp_path / "client.pem")}
        assert git("ls-remote", repo.url, home=tmp_path, **trusted, **known).returncode == 0
        assert git("ls-remote", repo.url, home=tmp_path, **trusted).returncode != 0
        assert git("ls-remote", repo.url, home=tmp_path, **known).returncode != 0


def test_faults_are_served(server: GitServer, repo: GitRepo, tmp_path: Path) -> None:
    """Failing, redirecting and stopping show at the client; a restart keeps the address."""
    server.faults.status = 503
    assert "503" in git("ls-remote", repo.url, home=tmp_path).stderr
    server.faults = Faults(redirects={"moved": repo.url})
    assert repo.head() in git("ls-remote", f"{server.url}/moved", home=tmp_path).stdout
    server.stop()
    assert git("ls-remote", repo.url, home=tmp_path).returncode != 0
    server.start()
    assert git("ls-remote", repo.url, home=tmp_path).returncode == 0


def test_requests_are_counted_by_operation(server: GitServer, repo: GitRepo, tmp_path: Path) -> None:
    """A clone is one advertisement, one ls-refs and one fetch."""
    name = repo.path.name
    git("clone", repo.url, tmp_path / "clone", home=tmp_path)
    assert server.counts(name) == {"info/refs": 1, "ls-refs": 1, "fetch": 1}


def test_history_can_be_rewritten(repo: GitRepo) -> None:
    """Branches are made, files deleted, refs moved back and removed."""
    first = repo.head()
    repo.commit({"run.sh": None})
    assert list(repo.files()) == ["apps/web.yaml"]
    repo.point("refs/heads/main", first)
    assert "run.sh" in repo.files()
    repo.commit({"only": "here"}, branch="other")
    assert repo.files("other") == {"only": b"here"}
    repo.point("refs/heads/other", None)
    with pytest.raises(KeyError):
        repo.head("other")
