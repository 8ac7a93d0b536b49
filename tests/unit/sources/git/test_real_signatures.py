"""Commits and tags that Git itself signs, with GnuPG and OpenSSH, by good keys and by keys that are past their time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleetbeat.errors import InvalidCommitSignature
from fleetbeat.sources.git import GitResult, Keyring
from tests.unit.sources.git.conftest import Worker
from tools.gitrepo import GitRepo

pytestmark = pytest.mark.unit

YEARS_AGO = "20200101T000000"


@dataclass
class Author:
    """Somebody with a home of his own: Git's and GnuPG's settings and keys."""

    home: Path

    def run(self, *command: str, at: Path | None = None) -> str:
        env = {**os.environ, "HOME": str(self.home), "GNUPGHOME": str(self.home / "gnupg")}
        env |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": str(self.home / "config")}
        done = subprocess.run(command, env=env, cwd=at or self.home, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def config(self, **values: str) -> None:
        for name, value in values.items():
            self.run("git", "config", "--global", name.replace("_", "."), value)

    def gpg(self, *words: str, then: str = "") -> str:
        """GnuPG without questions; `then` is the time that it believes to be."""
        time = ("--faked-system-time", then) if then else ()
        return self.run("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", *time, *words)

    def key(self, name: str, usage: str = "sign", then: str = "", expires: str = "never") -> str:
        """A new PGP key; returns its fingerprint."""
        self.gpg("--quick-gen-key", f"{name} <{name}@example.com>", "ed25519", usage, expires, then=then)
        return self.fingerprints(name)[0]

    def fingerprints(self, name: str) -> list[str]:
        lines = self.gpg("--list-keys", "--with-colons", f"{name}@example.com").splitlines()
        return [line.split(":")[9] for line in lines if line.startswith("fpr")]

    def public(self, name: str) -> bytes:
        return self.gpg("--armor", "--export", f"{name}@example.com").encode()

    def release(self, repo: GitRepo, *options: str) -> None:
        """A signed commit and a signed tag, pushed."""
        work = self.home / f"work-{repo.path.name}"
        self.run("git", "clone", "--quiet", str(repo.path), str(work))
        (work / "a.yaml").write_text("a: 1\n")
        self.run("git", "add", ".", at=work)
        self.run("git", *options, "commit", "--quiet", "-S", "-m", "signed\n\nby git", at=work)
        self.run("git", *options, "tag", "-s", "1.0.0", "-m", "release\n\nnotes", at=work)
        self.run("git", "push", "--quiet", "origin", "HEAD:refs/heads/main", "--tags", at=work)

    def stop(self) -> None:
        self.run("gpgconf", "--kill", "all")


@pytest.fixture
def author(tmp_path: Path) -> Iterator[Author]:
    # GnuPG's sockets lie in its home, whose path must be short.
    (tmp_path / "gnupg").mkdir(mode=0o700)
    made = Author(tmp_path)
    made.config(user_name="Somebody", user_email="somebody@example.com", init_defaultBranch="main")
    yield made
    made.stop()


def verified(worker: Worker, repo: GitRepo, keys: Keyring, mode: str = "TagAndHEAD") -> GitResult:
    verify = {"secretRef": {"name": "keys"}, "mode": mode}
    return worker.fetch(repo.url, {"tag": "1.0.0"}, verify=verify, keyring=keys)


def test_gpg(worker: Worker, repo: GitRepo, author: Author) -> None:
    """Commit and tag by GnuPG's own key; several keys in one file are fine."""
    fingerprint, _ = author.key("ann"), author.key("bob")
    author.config(user_signingkey=fingerprint)
    author.release(repo)
    keys = Keyring.of({"both.asc": author.public("bob") + author.public("ann")}, "ns/keys")
    assert verified(worker, repo, keys).verified.count(fingerprint) == 2
    with pytest.raises(InvalidCommitSignature, match="not trusted"):
        verified(worker, repo, Keyring.of({"bob.asc": author.public("bob")}, "ns/keys"), "HEAD")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_ssh_keygen(worker: Worker, repo: GitRepo, author: Author, kind: str) -> None:
    """Commit and tag by an SSH key, trusted by the line that ssh-keygen wrote."""
    file = author.home / "id"
    author.run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "ann's key", "-f", str(file))
    author.config(gpg_format="ssh", user_signingkey=str(file))
    author.release(repo)
    line = file.with_suffix(".pub").read_bytes()
    fingerprint = author.run("ssh-keygen", "-l", "-f", str(file)).split()[1]
    keys = Keyring.of({"ann.sshpub": b"# Ann\n" + line}, "ns/keys")
    assert verified(worker, repo, keys).verified.count(fingerprint) == 2


def _expired_key(author: Author) -> str:
    return author.key("ann", then=YEARS_AGO, expires="1y")


def _expired_subkey(author: Author) -> str:
    primary = author.key("ann", "cert", then=YEARS_AGO)
    author.gpg("--quick-add-key", primary, "ed25519", "sign", "1y", then=YEARS_AGO)
    return author.fingerprints("ann")[1]


@pytest.mark.parametrize("make", [_expired_key, _expired_subkey])
def test_expired_keys(worker: Worker, repo: GitRepo, author: Author, make: Callable[[Author], str]) -> None:
    """A signature from when the key was good does not count any more: its date is the signer's own word."""
    fingerprint = make(author)
    wrapper = author.home / "old-gpg"
    wrapper.write_text(f'#!/bin/sh\nexec gpg --batch --faked-system-time {YEARS_AGO} "$@"\n')
    wrapper.chmod(0o755)
    author.config(user_signingkey=f"{fingerprint}!", gpg_program=str(wrapper))
    author.release(repo)
    keys = Keyring.of({"ann.asc": author.public("ann")}, "ns/keys")
    with pytest.raises(InvalidCommitSignature, match=f"PGP key {fingerprint}, which expired on 20(20-12|21-01)-"):
        verified(worker, repo, keys, "HEAD")


def test_a_revoked_subkey(worker: Worker, repo: GitRepo, author: Author) -> None:
    """The primary key is good, but the one that signed was withdrawn later."""
    primary = author.key("ann", "cert")
    author.gpg("--quick-add-key", primary, "ed25519", "sign", "never")
    subkey = author.fingerprints("ann")[1]
    author.config(user_signingkey=f"{subkey}!")
    author.release(repo)
    before = Keyring.of({"ann.asc": author.public("ann")}, "ns/keys")
    assert primary in verified(worker, repo, before).verified
    answers = "key 1\nrevkey\ny\n0\n\ny\nsave\n"
    (author.home / "answers").write_text(answers)
    edit = f"gpg --no-tty --command-file {author.home / 'answers'} --pinentry-mode loopback --passphrase '' --edit-key"
    author.run("sh", "-c", f"{edit} {primary}")
    after = Keyring.of({"ann.asc": author.public("ann")}, "ns/keys")
    with pytest.raises(InvalidCommitSignature, match=f"PGP key {subkey}"):
        verified(worker, repo, after, "HEAD")
