"""Whether a commit, an annotated tag or both are signed by a key that the user trusts. Fails closed.

Owns the trusted keys of one Secret, which bytes of a Git object a signature speaks of (the object as it was sent,
without the signature, never one that was written anew), and what besides the signature must hold: the object is the one
that its id names, a tag has the name of its reference and leads to the commit that is used. So neither a server nor
somebody who may push, but not sign, can pass an old release off as a new one.

A check is worth its price once: `proof` names everything that it depended on. Whoever keeps it may skip the check while
it is equal, and must check when it differs: after a new commit or tag object, another mode, any change of the Secret,
and when a PGP key expires.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetbeat.errors import (
    InvalidCommitSignature,
    InvalidGitObject,
    InvalidTagSignature,
    VerificationFailed,
)
from fleetbeat.sources.git import pgp, sshsig
from fleetbeat.sources.git.refs import TAGS, Candidate
from fleetbeat.sources.git.sshsig import Rejected, SshKey

if TYPE_CHECKING:
    from pysequoia import Cert

_COMMIT, _TAG = 1, 4
_TYPES = {_COMMIT: b"commit", 2: b"tree", 3: b"blob", _TAG: b"tag"}
_NESTED = 10
"""Tags of tags that are followed."""
_ARMOR = re.compile(rb"^-----BEGIN (?:PGP SIGNATURE|PGP MESSAGE|SSH SIGNATURE|SIGNED MESSAGE)-----$", re.MULTILINE)
_TARGET = re.compile(rb"\Aobject ([0-9a-f]{40})\ntype ([a-z]+)\ntag ([^\n]+)\n")

Read = Callable[[bytes], tuple[int, bytes]]
"""Type number and content of the object with that id (40 hex digits); KeyError when it is not there."""


@dataclass(frozen=True)
class Keyring:
    """The public keys of one Secret."""

    secret: str
    """`namespace/name`, for messages."""
    digest: str
    """Differs when a key was added, removed, changed, or has expired."""
    ssh: tuple[SshKey, ...]
    pgp: tuple[Cert, ...]

    @classmethod
    def of(cls, data: Mapping[str, bytes], secret: str) -> Keyring:
        """Read a Secret: `*.sshpub` are authorized-keys lines, all others armored PGP keys.

        Raises VerificationFailed when one cannot be read or there is none.
        """
        ssh: list[SshKey] = []
        certs: list[Cert] = []
        for name, value in sorted(data.items()):
            where = f"Secret {secret}: the key {name}"
            if name.endswith(".sshpub"):
                ssh += sshsig.authorized_keys(value, where)
            else:
                certs += pgp.public_keys(value, where)
        if not ssh and not certs:
            raise VerificationFailed(
                f"Secret {secret} has no public key that can be used; put SSH keys under *.sshpub, PGP keys under *.asc"
            )
        state = [(cert.fingerprint, bool(pgp.unusable(cert))) for cert in certs]
        digest = hashlib.sha256(repr((sorted(data.items()), state)).encode()).hexdigest()
        return cls(secret, digest, tuple(ssh), tuple(certs))

    def signer(self, payload: bytes, signature: bytes) -> str:
        """The fingerprint of the key that made `signature` for `payload`; raises Rejected."""
        if signature.startswith(sshsig.BEGIN):
            return sshsig.verify(payload, signature, list(self.ssh))
        if signature.startswith(pgp.BEGIN):
            return pgp.verify(payload, signature, self.pgp)
        raise Rejected("it is neither a PGP nor an SSH signature, and no other kind is supported")


def proof(mode: str, candidate: Candidate, keyring: Keyring) -> str:
    """Hex digest of all that the outcome of a check depends on."""
    facts = (mode, candidate.name, candidate.commit, candidate.want, keyring.digest)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def verify(mode: str, candidate: Candidate, read: Read, keyring: Keyring) -> str:
    """Check what `mode` (HEAD, Tag, TagAndHEAD) demands; returns what was verified, with the keys' fingerprints.

    Raises InvalidGitObject, InvalidTagSignature or InvalidCommitSignature.
    """
    told: list[str] = []
    if mode in ("Tag", "TagAndHEAD"):
        told.append(f"tag {candidate.name.removeprefix(TAGS)!r} with key {_tag(candidate, read, keyring)!r}")
    if mode in ("HEAD", "TagAndHEAD"):
        told.append(f"commit {candidate.commit!r} with key {_commit(candidate.commit, read, keyring)!r}")
    if not told:
        raise InvalidGitObject(f"spec.verify.mode {mode!r} is not known")
    return f"verified the signature of {' and of '.join(told)}"


def _commit(commit: str, read: Read, keyring: Keyring) -> str:
    payload, signature = split_commit(_object(commit, _COMMIT, read))
    if not signature:
        raise InvalidCommitSignature(f"commit '{commit}' is not signed")
    try:
        return keyring.signer(payload, signature)
    except Rejected as error:
        raise InvalidCommitSignature(
            f"the signature of commit '{commit}' cannot be trusted: {error}; trusted are the keys of Secret"
            f" {keyring.secret}"
        ) from None


def _tag(candidate: Candidate, read: Read, keyring: Keyring) -> str:
    name = candidate.name.removeprefix(TAGS)
    if candidate.want == candidate.commit:
        raise InvalidGitObject(f"tag '{name}' is a lightweight one, which cannot be signed; make it by git tag -s")
    data = _object(candidate.want, _TAG, read)
    target = _require_target(data, candidate, read)
    payload, signature = split_tag(data)
    if not signature:
        raise InvalidGitObject(f"tag '{name}' is not signed; make it by git tag -s")
    if target != name:
        raise InvalidTagSignature(f"the tag object that '{name}' refers to was made for the name {target!r}")
    try:
        return keyring.signer(payload, signature)
    except Rejected as error:
        raise InvalidTagSignature(
            f"the signature of tag '{name}' cannot be trusted: {error}; trusted are the keys of Secret {keyring.secret}"
        ) from None


def _require_target(data: bytes, candidate: Candidate, read: Read) -> str:
    """The name in the tag object, once it is known that its chain of tags ends at the commit that is used."""
    name = ""
    for _ in range(_NESTED):
        found = _TARGET.match(data)
        if found is None:
            break
        id, kind, own = found.groups()
        name = name or own.decode("utf-8", "surrogateescape")
        if kind == b"commit" and id.decode() == candidate.commit:
            return name
        if kind != b"tag":
            break
        data = _object(id.decode(), _TAG, read)
    raise InvalidGitObject(f"the tag object {candidate.want} does not lead to commit '{candidate.commit}'")


def _object(id: str, kind: int, read: Read) -> bytes:
    """The content of an object of that type, which has that id."""
    found, data = read(id.encode())
    if found != kind:
        raise InvalidGitObject(f"the object {id} is not a {_TYPES[kind].decode()}")
    actual = hashlib.sha1(b"%s %d\0" % (_TYPES[kind], len(data)) + data, usedforsecurity=False).hexdigest()
    if actual != id:
        raise InvalidGitObject(f"the object {id} is damaged")
    return data


def split_commit(data: bytes) -> tuple[bytes, bytes]:
    """What a commit's signature speaks of, and the signature, empty when there is none.

    Signatures of other formats (`gpgsig-sha256`) belong to neither. Raises InvalidGitObject for more than one.
    """
    head, separator, message = data.partition(b"\n\n")
    kept: list[bytes] = []
    signature: list[bytes] = []
    where = kept
    for line in head.split(b"\n"):
        name, _, value = line.partition(b" ")
        if name == b"":
            where.append(line if where is kept else value)
        elif name == b"gpgsig" and not signature:
            where = signature
            where.append(value)
        elif name == b"gpgsig":
            raise InvalidGitObject("the commit has more than one signature")
        elif name == b"gpgsig-sha256":
            where = []
        else:
            where = kept
            where.append(line)
    return b"\n".join(kept) + separator + message, b"\n".join(signature).strip()


def split_tag(data: bytes) -> tuple[bytes, bytes]:
    """What a tag's signature speaks of, and the signature, empty when there is none."""
    found = list(_ARMOR.finditer(data))
    return (data[: found[-1].start()], data[found[-1].start() :].strip()) if found else (data, b"")
