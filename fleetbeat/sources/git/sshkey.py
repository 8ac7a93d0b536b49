"""The private key of a Secret, made ready to log in.

Owns the formats (OpenSSH, PKCS#1, PKCS#8, SEC 1; RSA, ECDSA, Ed25519) and what to say of a key that is none of them.
Neither key nor passphrase appears in a message.
"""

from __future__ import annotations

from io import StringIO

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from paramiko import ECDSAKey, Ed25519Key, PKey, RSAKey

from fleetbeat.errors import AuthenticationFailed

_KINDS: tuple[tuple[type, type[PKey]], ...] = (
    (rsa.RSAPrivateKey, RSAKey),
    (ec.EllipticCurvePrivateKey, ECDSAKey),
    (ed25519.Ed25519PrivateKey, Ed25519Key),
)
_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_MISTAKEN = (
    (b"PuTTY-User-Key-File", "is in PuTTY's format; export it as an OpenSSH key"),
    (b"ssh-", "is a public key; put the private one there"),
    (b"ecdsa-", "is a public key; put the private one there"),
    (b"-----BEGIN PUBLIC KEY", "is a public key; put the private one there"),
    (b"-----BEGIN CERTIFICATE", "is a certificate; put the private key there"),
)


def load_key(identity: bytes, passphrase: bytes | None, origin: str = "the Secret") -> PKey:
    """The key to log in with; AuthenticationFailed says what is wrong with `identity` or `password` of `origin`."""
    text = identity.strip().replace(b"\r\n", b"\n") + b"\n"
    for sign, words in _MISTAKEN:
        if text.startswith(sign):
            raise AuthenticationFailed(f"the key identity of {origin} {words}")
    found = _decrypted(text, passphrase, origin)
    for kind, wanted in _KINDS:
        if isinstance(found, kind):
            return wanted.from_private_key(StringIO(_plain(found)))
    raise AuthenticationFailed(
        f"the key identity of {origin} is of the type {type(found).__name__.removesuffix('PrivateKey')}; use Ed25519,"
        " ECDSA or RSA"
    )


def _decrypted(text: bytes, passphrase: bytes | None, origin: str) -> object:
    load = serialization.load_ssh_private_key if text.startswith(_OPENSSH) else serialization.load_pem_private_key
    try:
        try:
            return load(text, passphrase)
        except TypeError:
            if passphrase is None:
                raise
            return load(text, None)  # a passphrase that is not needed
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise AuthenticationFailed(_reason(text, str(error).lower(), passphrase, origin)) from None


def _reason(text: bytes, error: str, passphrase: bytes | None, origin: str) -> str:
    encrypted = "password" in error or "encrypted" in error or "passphrase" in error
    if passphrase is None and encrypted:
        return f"the key identity of {origin} has a passphrase; put it into the key password there"
    if passphrase is not None and (encrypted or "checksum" in error or b"ENCRYPTED" in text):
        return f"the passphrase in the key password of {origin} does not open the key identity"
    return f"the key identity of {origin} is no private key that can be read; put there what ssh-keygen writes"


def _plain(key: object) -> str:
    """The one form that all classes of paramiko read; it stays in memory."""
    found: bytes = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return found.decode("ascii")
