"""Signatures by SSH keys, as `ssh-keygen -Y sign` and Git make them, and the authorized-keys lines that trust them.

Owns the format (OpenSSH's PROTOCOL.sshsig) and which keys count: Ed25519, ECDSA on the NIST curves and RSA with SHA-2.
A line that cannot be read in full is an error, never a line less; one with options is refused, because what they
restrict could not be honoured. It knows nothing of Git but the namespace.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from fleetbeat.errors import VerificationFailed

BEGIN, END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
NAMESPACE = b"git"
_MAGIC = b"SSHSIG"
_HASHES = (b"sha256", b"sha512")
_ECDSA = {b"ecdsa-sha2-nistp256": "sha256", b"ecdsa-sha2-nistp384": "sha384", b"ecdsa-sha2-nistp521": "sha512"}
_RSA = {b"rsa-sha2-256": "sha256", b"rsa-sha2-512": "sha512"}
_SCHEMES = {b"ssh-ed25519": (b"ssh-ed25519",), b"ssh-rsa": tuple(_RSA), **{name: (name,) for name in _ECDSA}}
"""Type of a key → the algorithms that a signature by it may name."""
_RSA_BITS = 2048


class Rejected(Exception):
    """The signature does not hold; the text says why and names no secret."""


@dataclass(frozen=True)
class SshKey:
    """A public key that is trusted."""

    kind: bytes
    blob: bytes
    """As it goes over the wire."""

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as ssh-keygen prints it."""
        return fingerprint(self.blob)


def fingerprint(blob: bytes) -> str:
    """`SHA256:…` of any public key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def authorized_keys(data: bytes, where: str) -> list[SshKey]:
    """The keys of authorized-keys lines; keys on security tokens and DSA keys are passed over: none of their signatures
    ever counts. Raises VerificationFailed, naming `where` and the line."""
    found: list[SshKey] = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        key = _key(words)
        if key is None:
            raise VerificationFailed(
                f"{where}, line {number} is not a public SSH key: write its type, its base64 text and nothing before"
            )
        if key.kind in _SCHEMES:
            _require_strength(key, f"{where}, line {number}")
            found.append(key)
    return found


def _key(words: list[str]) -> SshKey | None:
    """None when type and text are not both there or contradict each other."""
    try:
        blob = base64.b64decode(words[1], validate=True)
        (kind,) = _strings(blob, 1, rest=True)
    except (IndexError, ValueError, Rejected):
        return None
    return SshKey(kind, blob) if kind == words[0].encode() else None


def _require_strength(key: SshKey, where: str) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        loaded = load_ssh_public_key(key.kind + b" " + base64.b64encode(key.blob))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise VerificationFailed(f"{where} is not a public SSH key: {error}") from None
    if isinstance(loaded, RSAPublicKey) and loaded.key_size < _RSA_BITS:
        raise VerificationFailed(f"{where} is an RSA key of {loaded.key_size} bits; {_RSA_BITS} are the least")


def verify(payload: bytes, armored: bytes, trusted: list[SshKey]) -> str:
    """The fingerprint of the trusted key that signed `payload`; raises Rejected."""
    blob, namespace, reserved, hashing, signature = _parse(armored)
    (kind,) = _strings(blob, 1, rest=True)
    if kind not in _SCHEMES:
        raise Rejected(f"it is by a key of the type {_text(kind)}, which is not supported")
    key = next((key for key in trusted if key.blob == blob), None)
    if key is None:
        raise Rejected(f"it is by the SSH key {fingerprint(blob)}, which is not trusted")
    if namespace != NAMESPACE:
        raise Rejected(f"it was made for {_text(namespace)!r} and not for 'git'")
    if hashing not in _HASHES:
        raise Rejected(f"it names the hash {_text(hashing)!r}; sha256 and sha512 are supported")
    digest = hashlib.new(hashing.decode(), payload).digest()
    signed = _MAGIC + b"".join(len(part).to_bytes(4, "big") + part for part in (namespace, reserved, hashing, digest))
    _check(key, signature, signed)
    return key.fingerprint


def _check(key: SshKey, signature: bytes, signed: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    scheme, value = _strings(signature, 2)
    if scheme not in _SCHEMES[key.kind]:
        raise Rejected(
            f"it names the algorithm {_text(scheme)!r}, which is not one for a key of type {_text(key.kind)}"
        )
    public = load_ssh_public_key(key.kind + b" " + base64.b64encode(key.blob))
    digests = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(value, signed)
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(value, signed, padding.PKCS1v15(), digests[_RSA[scheme]])
        elif isinstance(public, ec.EllipticCurvePublicKey):
            numbers = (int.from_bytes(part, "big") for part in _strings(value, 2))
            public.verify(utils.encode_dss_signature(*numbers), signed, ec.ECDSA(digests[_ECDSA[scheme]]))
        else:
            raise Rejected(f"it is by a key of the type {_text(key.kind)}, which is not supported")
    except InvalidSignature:
        raise Rejected(f"it names the SSH key {key.fingerprint}, but was not made by it for this content") from None


def _parse(armored: bytes) -> list[bytes]:
    """Public key, namespace, reserved, hash and signature."""
    lines = armored.strip().splitlines()
    if len(lines) < 3 or lines[0].strip() != BEGIN or lines[-1].strip() != END:
        raise Rejected("it is not a whole SSH signature")
    try:
        data = base64.b64decode(b"".join(line.strip() for line in lines[1:-1]), validate=True)
    except (binascii.Error, ValueError):
        raise Rejected("it is not a whole SSH signature") from None
    if data[:6] != _MAGIC or data[6:10] != b"\0\0\0\1":
        raise Rejected("it is not an SSH signature of version 1")
    return _strings(data[10:], 5)


def _strings(data: bytes, count: int, *, rest: bool = False) -> list[bytes]:
    """The first `count` length-prefixed strings; without `rest` nothing may follow them. Raises Rejected."""
    found = list(_each(data, count))
    if len(found) < count or (not rest and sum(len(part) + 4 for part in found) != len(data)):
        raise Rejected("it is damaged")
    return found


def _each(data: bytes, count: int) -> Iterator[bytes]:
    position = 0
    for _ in range(count):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 4 + length
        if position + 4 > len(data) or end > len(data):
            return
        yield data[position + 4 : end]
        position = end


def _text(value: bytes) -> str:
    return value[:60].decode("ascii", "backslashreplace")
