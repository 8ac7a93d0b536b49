"""Keys, and Git objects signed by them, made in this process; real programs: test_real_signatures.py."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

import pysequoia
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from dulwich.objects import ObjectID, ShaFile
from dulwich.refs import Ref
from dulwich.repo import Repo

from tests.support.hostile import add
from tools.gitrepo import GitRepo


class Signer(Protocol):
    """Somebody with a key."""

    def sign(self, payload: bytes) -> bytes:
        """An armored signature."""

    @property
    def public(self) -> bytes:
        """What goes into the Secret."""

    @property
    def fingerprint(self) -> str:
        """As the condition shows it."""


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _mpint(number: int) -> bytes:
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


@dataclass
class SshSigner:
    """An SSH key; the fields are what may be wrong about its signatures."""

    key: Any
    namespace: bytes = b"git"
    hashing: str = "sha512"
    scheme: bytes = b""

    @classmethod
    def make(cls, kind: str = "ed25519", **fields: Any) -> SshSigner:
        """ed25519, rsa, nistp256, nistp384 or nistp521."""
        curves = {"nistp256": ec.SECP256R1(), "nistp384": ec.SECP384R1(), "nistp521": ec.SECP521R1()}
        if kind in curves:
            return cls(ec.generate_private_key(curves[kind]), **fields)
        if kind == "rsa":
            return cls(rsa.generate_private_key(65537, 2048), **fields)
        return cls(ed25519.Ed25519PrivateKey.generate(), **fields)

    @property
    def public(self) -> bytes:
        form = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        line: bytes = self.key.public_key().public_bytes(*form)
        return line + b" somebody@example.com\n"

    @property
    def kind(self) -> bytes:
        return self.public.split()[0]

    @property
    def blob(self) -> bytes:
        return base64.b64decode(self.public.split()[1])

    @property
    def fingerprint(self) -> str:
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def sign(self, payload: bytes) -> bytes:
        digest = hashlib.new(self.hashing, payload).digest()
        parts = (self.namespace, b"", self.hashing.encode(), digest)
        scheme, value = self._raw(b"SSHSIG" + b"".join(_string(part) for part in parts))
        head = b"SSHSIG" + (1).to_bytes(4, "big") + _string(self.blob)
        body = head + b"".join(_string(part) for part in (*parts[:3], _string(self.scheme or scheme) + _string(value)))
        text = base64.encodebytes(body).strip()
        return b"-----BEGIN SSH SIGNATURE-----\n" + text + b"\n-----END SSH SIGNATURE-----\n"

    def _raw(self, data: bytes) -> tuple[bytes, bytes]:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.kind, self.key.sign(data)
        if isinstance(self.key, rsa.RSAPrivateKey):
            return b"rsa-sha2-512", self.key.sign(data, padding.PKCS1v15(), hashes.SHA512())
        chosen = {"256": hashes.SHA256(), "384": hashes.SHA384(), "521": hashes.SHA512()}[self.kind.decode()[-3:]]
        r, s = utils.decode_dss_signature(self.key.sign(data, ec.ECDSA(chosen)))
        return self.kind, _mpint(r) + _mpint(s)


@dataclass
class PgpSigner:
    """A PGP key with a subkey for signatures."""

    key: Any

    @classmethod
    def make(cls) -> PgpSigner:
        return cls(pysequoia.Tsk.generate(user_id="Somebody <somebody@example.com>"))

    @property
    def public(self) -> bytes:
        return str(self.key.extract_certificate()).encode()

    @property
    def revoked(self) -> bytes:
        """The public key, once its owner revoked it."""
        cert = self.key.extract_certificate()
        return bytes(cert) + bytes(cert.revoke(self.key.certifier()))

    @property
    def fingerprint(self) -> str:
        return str(self.key.extract_certificate().fingerprint).upper()

    def sign(self, payload: bytes) -> bytes:
        made: bytes = pysequoia.sign(self.key.signer(), payload, mode=pysequoia.SignatureMode.DETACHED)
        return made


def with_signature(payload: bytes, signature: bytes, header: bytes = b"gpgsig") -> bytes:
    """A commit's content with that signature as its last header."""
    head, _, message = payload.partition(b"\n\n")
    folded = signature.strip().replace(b"\n", b"\n ")
    return head + b"\n" + header + b" " + folded + b"\n\n" + message


def read(repo: GitRepo, id: str) -> bytes:
    """An object's content."""
    with Repo(str(repo.path)) as opened:
        return opened[ObjectID(id.encode())].as_raw_string()


def sign_head(repo: GitRepo, signer: Signer, branch: str = "main") -> str:
    """Replace a branch's head by the same commit with a signature; returns it."""
    payload = read(repo, repo.head(branch))
    return put_commit(repo, with_signature(payload, signer.sign(payload)), branch)


def put_commit(repo: GitRepo, data: bytes, branch: str = "main") -> str:
    """Make a commit with exactly that content the branch's head."""
    made = add(repo, 1, data)
    repo.point(f"refs/heads/{branch}", made)
    return made


def sign_tag(repo: GitRepo, signer: Signer, name: str, *, ref: str = "", target: str = "", kind: str = "commit") -> str:
    """An annotated, signed tag of `target` (default: the head of main), stored at `ref` (default: its own name)."""
    payload = (
        f"object {target or repo.head()}\ntype {kind}\ntag {name}\n"
        "tagger Bench <bench@example.com> 1700000000 +0000\n\nrelease\n"
    ).encode()
    with Repo(str(repo.path)) as opened:
        tag = ShaFile.from_raw_string(4, payload + signer.sign(payload))
        opened.object_store.add_object(tag)
        opened.refs[Ref(f"refs/tags/{ref or name}".encode())] = tag.id
        return tag.id.decode()
