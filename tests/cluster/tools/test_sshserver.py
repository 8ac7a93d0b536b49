"""The bench's SSH server, looked at by git and ssh themselves."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import sshserver
from tools.sshserver import Missing, SshKey, SshServer, make_key

pytestmark = pytest.mark.cluster


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    """With one repository, `app`."""
    with SshServer(tmp_path / "srv") as made:
        made.create("app").commit({"a": "1"})
        yield made


def git(server: SshServer, key: SshKey, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """git with that key, trusting that server and nothing else."""
    for name, content in (("key", key.private), ("known", server.known_hosts)):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    command = f"ssh -F none -i {folder}/key -o IdentitiesOnly=yes -o UserKnownHostsFile={folder}/known"
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_SSH_COMMAND": f"{command} -o BatchMode=yes"}
    return subprocess.run(["git", *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_git_clones_with_a_key_that_is_allowed(server: SshServer, tmp_path: Path, kind: str) -> None:
    """And with no other; keys may change while it runs."""
    key = make_key(kind)
    refused = git(server, key, tmp_path, "clone", server.url("app"), str(tmp_path / "clone"))
    assert "Permission denied" in refused.stderr
    server.allow(make_key(), key)
    assert git(server, key, tmp_path, "clone", server.url("app"), str(tmp_path / "clone")).returncode == 0
    assert (tmp_path / "clone/a").read_text() == "1"
    assert server.logins() == 1


def test_it_serves_git_alone(server: SshServer, tmp_path: Path) -> None:
    """A login is no shell."""
    key = make_key()
    server.allow(key)
    git(server, key, tmp_path, "version")
    options = [
        "-F",
        "none",
        "-i",
        f"{tmp_path}/key",
        "-o",
        f"UserKnownHostsFile={tmp_path}/known",
        "-o",
        "BatchMode=yes",
    ]
    target = ["-p", str(server.port), f"{server.user}@127.0.0.1", "touch", str(tmp_path / "made")]
    assert subprocess.run(["ssh", *options, *target], capture_output=True, timeout=60, check=False).returncode != 0
    assert not (tmp_path / "made").exists()


def test_a_missing_sshd_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of a bare "file not found"."""
    monkeypatch.setattr(sshserver.shutil, "which", lambda *_, **__: None)
    with pytest.raises(Missing, match="openssh-server"):
        sshserver.find_sshd()
