"""Signatures of commits: what counts, and all that must not."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from fleetbeat.errors import (
    InvalidCommitSignature,
    InvalidGitObject,
    VerificationFailed,
)
from fleetbeat.sources.git import Keyring
from fleetbeat.sources.git.verify import split_commit
from tests.support import signing
from tests.support.signing import PgpSigner, Signer, SshSigner
from tests.unit.sources.git.conftest import SECRET, Worker, content, keyring, verified
from tools.gitrepo import GitRepo

pytestmark = pytest.mark.unit

MAKERS: dict[str, Callable[[], Signer]] = {
    "ed25519": SshSigner.make,
    "ed25519-sha256": lambda: SshSigner.make(hashing="sha256"),
    "rsa": lambda: SshSigner.make("rsa"),
    **{curve: (lambda curve=curve: SshSigner.make(curve)) for curve in ("nistp256", "nistp384", "nistp521")},
    "pgp": PgpSigner.make,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_trusted_signature(worker: Worker, repo: GitRepo, kind: str) -> None:
    """The commit is archived, and what was verified names the key; another key does not do."""
    signer, other = MAKERS[kind](), MAKERS[kind]()
    repo.commit({"a.yaml": "a: 1\n"})
    head = signing.sign_head(repo, signer)
    found = verified(worker, repo, keyring(other, signer))
    assert (found.commit, content(found)) == (head, {"a.yaml": b"a: 1\n"})
    assert (head in found.verified, signer.fingerprint in found.verified) == (True, True)
    with pytest.raises(InvalidCommitSignature, match="which is not trusted; trusted are the keys of Secret ns/keys"):
        verified(worker, repo, keyring(other))


def test_an_unsigned_commit(worker: Worker, repo: GitRepo, signer: SshSigner) -> None:
    """Nothing is archived, also where its archive is on the shelf for others."""
    repo.commit({"a.yaml": "a: 1\n"})
    worker.fetch(repo.url)
    with pytest.raises(InvalidCommitSignature, match=f"commit '{repo.head()}' is not signed"):
        verified(worker, repo, keyring(signer))


def test_nobody_verifies_for_another(worker: Worker, repo: GitRepo, signer: SshSigner, signed: str) -> None:
    """A source with other keys fails on the commit that an earlier one of the same mirror verified."""
    assert verified(worker, repo, keyring(signer)).archive is not None
    with pytest.raises(InvalidCommitSignature):
        verified(worker, repo, keyring(SshSigner.make()))
    with pytest.raises(VerificationFailed, match="keys were not read"):
        worker.fetch(repo.url, verify={"secretRef": {"name": "keys"}})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"namespace": b"file"}, "made for 'file' and not for 'git'"),
        ({"namespace": b""}, "made for '' and not for 'git'"),
        ({"scheme": b"ssh-rsa"}, "names the algorithm 'ssh-rsa', which is not one for a key of type ssh-ed25519"),
        ({"hashing": "sha1"}, "names the hash 'sha1'"),
    ],
)
def test_ssh_signatures_for_something_else(
    worker: Worker, repo: GitRepo, signer: SshSigner, fields: dict[str, Any], reason: str
) -> None:
    """A signature made for files, or with what is broken, is none of a commit."""
    repo.commit({"a.yaml": "a: 1\n"})
    signing.sign_head(repo, dataclasses.replace(signer, **fields))
    with pytest.raises(InvalidCommitSignature, match=reason):
        verified(worker, repo, keyring(signer))


@pytest.mark.parametrize("make", [SshSigner.make, lambda: SshSigner.make("rsa"), PgpSigner.make])
def test_a_signature_of_other_content(worker: Worker, repo: GitRepo, make: Callable[[], Signer]) -> None:
    """A right signature that is copied to another commit does not hold there."""
    signer = make()
    repo.commit({"a.yaml": "a: 1\n"})
    payload = signing.read(repo, repo.head())
    repo.commit({"a.yaml": "a: evil\n"})
    forged = signing.with_signature(signing.read(repo, repo.head()), signer.sign(payload))
    signing.put_commit(repo, forged)
    with pytest.raises(InvalidCommitSignature, match="for this content"):
        verified(worker, repo, keyring(signer))


@pytest.mark.parametrize(
    "signature",
    [
        b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----",
        b"-----BEGIN SSH SIGNATURE-----\n%%%%\n-----END SSH SIGNATURE-----",
        b"-----BEGIN SSH SIGNATURE-----\n" + base64.b64encode(b"SSHSIG\0\0\0\2") + b"\n-----END SSH SIGNATURE-----",
        b"-----BEGIN SSH SIGNATURE-----\n"
        + base64.b64encode(b"SSHSIG\0\0\0\1\xff\xff\xff\xff")
        + b"\n-----END SSH SIG",
        b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----",
        b"-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----",
        b"nonsense",
    ],
)
def test_damaged_signatures(worker: Worker, repo: GitRepo, signer: SshSigner, signature: bytes) -> None:
    """Whatever stands where a signature should, it is refused and not stumbled over."""
    repo.commit({"a.yaml": "a: 1\n"})
    signing.put_commit(repo, signing.with_signature(signing.read(repo, repo.head()), signature))
    with pytest.raises(InvalidCommitSignature, match="cannot be trusted"):
        verified(worker, repo, keyring(signer, PgpSigner.make()))


def test_rsa_with_sha1(worker: Worker, repo: GitRepo) -> None:
    """The key is trusted, the algorithm is broken."""
    signer = SshSigner.make("rsa", scheme=b"ssh-rsa")
    repo.commit({"a.yaml": "a: 1\n"})
    signing.sign_head(repo, signer)
    with pytest.raises(InvalidCommitSignature, match="names the algorithm 'ssh-rsa'"):
        verified(worker, repo, keyring(signer))


def test_a_revoked_key(worker: Worker, repo: GitRepo) -> None:
    """Whenever the signature was made."""
    signer = PgpSigner.make()
    repo.commit({"a.yaml": "a: 1\n"})
    signing.sign_head(repo, signer)
    keys = Keyring.of({"a.asc": signer.revoked}, SECRET)
    with pytest.raises(InvalidCommitSignature, match=f"PGP key {signer.fingerprint}, which was revoked"):
        verified(worker, repo, keys)


def test_the_signed_bytes_are_those_of_the_object() -> None:
    """All headers but the signatures, in their order, with folded ones as they were; two signatures are refused."""
    payload = b"tree 1\nparent 2\nmergetag object 3\n type commit\n \n text\nencoding x\n\nsubject\n\nbody\ngpgsig no\n"
    signature = b"-----BEGIN\n\nAA\n-----END"
    data = signing.with_signature(payload, signature)
    assert split_commit(data) == (payload, signature)
    assert split_commit(signing.with_signature(data, b"other\nhash", b"gpgsig-sha256")) == (payload, signature)
    assert split_commit(payload) == (payload, b"")
    with pytest.raises(InvalidGitObject, match="more than one"):
        split_commit(signing.with_signature(data, signature))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "has no public key"),
        ({"a.sshpub": b"# only a comment\n"}, "has no public key"),
        ({"a.sshpub": b"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t\n"}, "has no public key"),
        ({"a.sshpub": b"\nssh-ed25519 AAAA\n"}, "a.sshpub, line 2 is not a public SSH key"),
        ({"a.sshpub": b"restrict ssh-ed25519 AAAA\n"}, "line 1 is not a public SSH key"),
        ({"a.asc": b"nonsense"}, "a.asc is not an armored PGP public key"),
        ({"a.asc": b""}, "a.asc is not an armored PGP public key"),
        ({"a.asc": b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n"}, "a.asc holds a private key"),
    ],
)
def test_secrets_without_usable_keys(data: dict[str, bytes], message: str) -> None:
    """The Secret and its key are named; nothing is passed over that somebody meant to be trusted."""
    with pytest.raises(VerificationFailed, match=message):
        Keyring.of(data, SECRET)


def test_a_short_rsa_key() -> None:
    """It is refused by its length, not tried."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    short = SshSigner(rsa.generate_private_key(65537, 1024))
    with pytest.raises(VerificationFailed, match="RSA key of 1024 bits"):
        Keyring.of({"a.sshpub": short.public}, SECRET)
