"""Public keys and what they verify.

Owns which algorithms count: ECDSA on the curves P-256 (which cosign makes), P-384 and P-521, RSA from 2048 bits with
PKCS #1 v1.5, and Ed25519. Hashes are SHA-256, or the one that goes with a larger curve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fleetbeat.errors import VerificationFailed

SUFFIX = ".pub"
MIN_RSA_BITS = 2048
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
_CURVES: Mapping[str, tuple[hashes.HashAlgorithm, ...]] = {
    "secp256r1": (hashes.SHA256(),),
    "secp384r1": (hashes.SHA256(), hashes.SHA384()),
    "secp521r1": (hashes.SHA256(), hashes.SHA512()),
}


@dataclass(frozen=True)
class Key:
    """A key that signs artifacts."""

    name: str
    """Its key in the Secret: `cosign.pub`."""
    public: PublicKey = field(repr=False)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether it made that signature over exactly these bytes."""
        return verifies(self.public, signature, data)


def verifies(public: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether `public` made that signature over exactly these bytes."""
    match public:
        case ec.EllipticCurvePublicKey():
            return any(_ecdsa(public, signature, data, algorithm) for algorithm in _CURVES[public.curve.name])
        case rsa.RSAPublicKey():
            return _holds(lambda: public.verify(signature, data, padding.PKCS1v15(), hashes.SHA256()))
        case _:
            return _holds(lambda: public.verify(signature, data))


def load_keys(data: Mapping[str, bytes], secret: str) -> tuple[Key, ...]:
    """Every key `*.pub` of a Secret, by name; `secret` is `namespace/name`.

    Raises VerificationFailed when there is none or one cannot be used: a typo must not leave fewer keys than meant.
    """
    keys = tuple(Key(name, _public(data[name], f"Secret {secret}: the key {name}")) for name in _names(data))
    if not keys:
        has = ", ".join(sorted(data)) or "no key at all"
        raise VerificationFailed(f"Secret {secret} has no public key; cosign's go under keys *.pub; it has {has}")
    return keys


def _names(data: Mapping[str, bytes]) -> list[str]:
    return sorted(name for name in data if name.endswith(SUFFIX))


def _public(pem: bytes, where: str) -> PublicKey:
    if b"PRIVATE KEY" in pem:
        raise VerificationFailed(f"{where} holds a private key; put the public one there and replace the pair")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise VerificationFailed(f"{where} is not a public key in PEM (-----BEGIN PUBLIC KEY-----)") from None
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise VerificationFailed(
        f"{where} is of a type that is not supported; ECDSA P-256, RSA from 2048 bits, Ed25519 are"
    )


def _ecdsa(public: ec.EllipticCurvePublicKey, signature: bytes, data: bytes, algorithm: hashes.HashAlgorithm) -> bool:
    return _holds(lambda: public.verify(signature, data, ec.ECDSA(algorithm)))


def _holds(verify: Callable[[], None]) -> bool:
    try:
        verify()
    except (InvalidSignature, ValueError):
        return False
    return True
