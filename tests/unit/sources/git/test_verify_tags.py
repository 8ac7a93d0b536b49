"""Signed tags, and what an earlier check of signatures is worth."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fleetbeat.errors import (
    InvalidCommitSignature,
    InvalidGitObject,
    InvalidTagSignature,
    InvalidVerificationMode,
)
from fleetbeat.sources.git import GitResult, Keyring, Observed
from tests.support import signing
from tests.support.signing import PgpSigner, Signer, SshSigner
from tests.unit.sources.git.conftest import SECRET, Worker, content, keyring, verified
from tools.gitrepo import GitRepo

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "ref", [{"tag": "1.0.0"}, {"semver": ">=1.0.0"}, {"name": "refs/tags/1.0.0"}], ids=["tag", "semver", "name"]
)
@pytest.mark.parametrize("make", [SshSigner.make, PgpSigner.make])
def test_a_signed_tag(worker: Worker, repo: GitRepo, ref: dict[str, str], make: Callable[[], Signer]) -> None:
    """The tag object's signature counts; the commit may be unsigned unless both are asked for."""
    signer = make()
    repo.commit({"a.yaml": "a: 1\n"})
    worker.fetch(repo.url)  # so that the mirror has the commit, but not the tag
    signing.sign_tag(repo, signer, "1.0.0")
    found = verified(worker, repo, keyring(signer), "Tag", ref)
    assert content(found) == {"a.yaml": b"a: 1\n"}
    assert f"tag '1.0.0' with key '{signer.fingerprint}'" in found.verified
    with pytest.raises(InvalidCommitSignature, match="is not signed"):
        verified(worker, repo, keyring(signer), "TagAndHEAD", ref)
    with pytest.raises(InvalidTagSignature, match="not trusted"):
        verified(worker, repo, keyring(make()), "Tag", ref)


def test_tag_and_commit(worker: Worker, repo: GitRepo, signer: SshSigner, signed: str) -> None:
    """Each may be by another key."""
    releaser = PgpSigner.make()
    signing.sign_tag(repo, releaser, "1.0.0")
    found = verified(worker, repo, keyring(signer, releaser), "TagAndHEAD", {"tag": "1.0.0"})
    assert (signer.fingerprint in found.verified, releaser.fingerprint in found.verified) == (True, True)
    with pytest.raises(InvalidTagSignature):
        verified(worker, repo, keyring(signer), "TagAndHEAD", {"tag": "1.0.0"})


def test_tags_that_cannot_be_checked(worker: Worker, repo: GitRepo, signer: SshSigner, signed: str) -> None:
    """A lightweight tag has no signature, and an annotated one need not have one."""
    repo.tag("light")
    repo.tag("plain", message="unsigned")
    with pytest.raises(InvalidGitObject, match="'light' is a lightweight one"):
        verified(worker, repo, keyring(signer), "Tag", {"tag": "light"})
    with pytest.raises(InvalidGitObject, match="'plain' is not signed"):
        verified(worker, repo, keyring(signer), "TagAndHEAD", {"tag": "plain"})


def test_an_old_release_is_no_new_one(worker: Worker, repo: GitRepo, signer: SshSigner) -> None:
    """Who may push but not sign gains nothing by moving a signed tag object to another name."""
    repo.commit({"a.yaml": "old"})
    signing.sign_tag(repo, signer, "1.0.0", ref="9.0.0")
    with pytest.raises(InvalidTagSignature, match=r"'9\.0\.0' refers to was made for the name '1\.0\.0'"):
        verified(worker, repo, keyring(signer), "Tag", {"semver": "*"})


def test_a_tag_of_a_tag(worker: Worker, repo: GitRepo, signer: SshSigner) -> None:
    """The outer one is signed, and it names the inner one by its content."""
    repo.commit({"a.yaml": "1"})
    inner = repo.tag("inner", message="unsigned")
    signing.sign_tag(repo, signer, "outer", target=inner, kind="tag")
    assert verified(worker, repo, keyring(signer), "Tag", {"tag": "outer"}).commit == repo.head()


@pytest.mark.parametrize("ref", [{"branch": "main"}, {"name": "refs/heads/main"}, {"commit": "1" * 40}])
@pytest.mark.parametrize("mode", ["Tag", "TagAndHEAD"])
def test_tag_modes_need_a_tag(worker: Worker, repo: GitRepo, signer: SshSigner, ref: dict[str, str], mode: str) -> None:
    """A person must change the spec."""
    with pytest.raises(InvalidVerificationMode, match=f"spec.verify.mode {mode} needs a tag"):
        verified(worker, repo, keyring(signer), mode, ref)


# What an earlier check is worth


def standing(found: GitResult, proof: str | None = None) -> Observed:
    return Observed(found.revision, proof=found.proof if proof is None else proof)


def test_a_check_holds_while_nothing_differs(worker: Worker, repo: GitRepo, signer: SshSigner, signed: str) -> None:
    """The same commit, mode and keys are not checked again; any other key, or no proof, and they are."""
    keys = keyring(signer)
    first = verified(worker, repo, keys)
    again = verified(worker, repo, keys, observed=standing(first))
    assert (again.unchanged, again.verified, again.proof) == (True, "", first.proof)
    forgotten = verified(worker, repo, keys, observed=standing(first, ""))
    assert (forgotten.unchanged, forgotten.proof) == (True, first.proof)
    assert signer.fingerprint in forgotten.verified
    with pytest.raises(InvalidCommitSignature):
        verified(worker, repo, keyring(SshSigner.make()), observed=standing(first))


def test_the_proof_names_all_that_counts(worker: Worker, repo: GitRepo, signer: SshSigner, signed: str) -> None:
    """Mode, tag object and keys; a tag that is made anew for the same commit is checked anew."""
    ref = {"tag": "1.0.0"}
    signing.sign_tag(repo, signer, "1.0.0")
    head = verified(worker, repo, keyring(signer), "HEAD", ref)
    both = verified(worker, repo, keyring(signer), "TagAndHEAD", ref)
    more = verified(worker, repo, keyring(signer, PgpSigner.make()), "HEAD", ref)
    assert len({head.proof, both.proof, more.proof}) == 3
    widened = verified(worker, repo, keyring(signer), "TagAndHEAD", ref, observed=standing(head))
    assert (widened.unchanged, "tag '1.0.0'" in widened.verified) == (True, True)
    repo.tag("1.0.0", message="unsigned")
    with pytest.raises(InvalidGitObject, match="not signed"):
        verified(worker, repo, keyring(signer), "TagAndHEAD", ref, observed=standing(both))


def test_a_key_that_ends_changes_the_digest() -> None:
    """So that the next run checks again."""
    signer = PgpSigner.make()
    assert Keyring.of({"a": signer.public}, SECRET).digest != Keyring.of({"a": signer.revoked}, SECRET).digest
