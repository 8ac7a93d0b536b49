"""What the Git tests share: a fresh repository, and a worker that fetches it."""

from __future__ import annotations

import dataclasses
import tarfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleetbeat.api.source import GitRepositorySpec
from fleetbeat.sources.credentials import Account
from fleetbeat.sources.git import Deadline, GitLimits, GitResult, Included, Keyring, Observed, fetch
from tests.support import signing
from tests.support.signing import Signer, SshSigner
from tools.gitrepo import GitRepo
from tools.gitserver import GitServer


@dataclasses.dataclass
class Worker:
    """Fetches as a source worker does, with a cache of its own."""

    cache: Path
    results: list[GitResult] = dataclasses.field(default_factory=list)

    def fetch(
        self,
        url: str,
        ref: dict[str, str] | None = None,
        *,
        observed: Observed | None = None,
        credentials: Account | None = None,
        limits: GitLimits | None = None,
        seconds: float = 60,
        keyring: Keyring | None = None,
        included: Sequence[Included] = (),
        **fields: Any,
    ) -> GitResult:
        wire = {"interval": "1m", "url": url, "ref": ref or {"branch": "main"}, **fields}
        if url.startswith("ssh://"):
            wire["secretRef"] = {"name": "login"}
        spec = msgspec.convert(wire, GitRepositorySpec)
        until = Deadline.after(seconds)
        result = fetch(spec, credentials, observed, self.cache, until, limits, keyring=keyring, included=included)
        self.results.append(result)
        return result

    def close(self) -> None:
        for result in self.results:
            if result.archive is not None:
                result.archive.close()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path / "cache")
    yield made
    made.close()


@pytest.fixture
def repo(git_server: GitServer) -> GitRepo:
    return git_server.create(f"r-{uuid.uuid4().hex[:12]}")


def content(result: GitResult) -> dict[str, bytes]:
    """The files of a result's archive."""
    assert result.archive is not None
    result.archive.file.seek(0)
    with tarfile.open(fileobj=result.archive.file, mode="r:gz") as tar:
        opened = {member.name: tar.extractfile(member) for member in tar.getmembers() if member.isfile()}
        return {name: file.read() for name, file in opened.items() if file is not None}


SECRET = "ns/keys"


def keyring(*signers: Signer) -> Keyring:
    """What a Secret with the public keys of `signers` becomes."""
    names = (f"k{number}{'.sshpub' if isinstance(one, SshSigner) else '.asc'}" for number, one in enumerate(signers))
    return Keyring.of({name: one.public for name, one in zip(names, signers, strict=True)}, SECRET)


def verified(
    worker: Worker, repo: GitRepo, keys: Keyring, mode: str = "HEAD", ref: dict[str, str] | None = None, **fields: Any
) -> GitResult:
    """A fetch with spec.verify."""
    verify = {"secretRef": {"name": "keys"}, "mode": mode}
    return worker.fetch(repo.url, ref, verify=verify, keyring=keys, **fields)


@pytest.fixture
def signer() -> SshSigner:
    return SshSigner.make()


@pytest.fixture
def signed(repo: GitRepo, signer: SshSigner) -> str:
    """A repository whose head is signed."""
    repo.commit({"a.yaml": "a: 1\n"}, "signed one")
    return signing.sign_head(repo, signer)
