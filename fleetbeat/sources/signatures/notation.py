"""Signatures of the Notary Project: JWS envelopes with a chain of certificates.

Owns which of them count under a trust policy: the envelope's signature by the leaf's key and algorithm, the artifact it
is about, the chain to a certificate of the Secret, the subject, validity and expiry. Not supported, and refused: COSE
envelopes, timestamps of an authority, signing authorities, plugins. Revocation is not looked up: where the policy
enforces it, certificates that name a server for it are refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from fleetbeat.sources.signatures.attached import Envelope, envelopes
from fleetbeat.sources.signatures.certificates import check_chain, check_valid, fingerprint, revocable
from fleetbeat.sources.signatures.model import Refused, Shelf, Target, Verified, quoted
from fleetbeat.sources.signatures.trustpolicy import Rules

JWS = "application/jose+json"
PAYLOAD = "application/vnd.cncf.notary.payload.v1+json"
SCHEME = "notary.x509"
LONGEST_CHAIN = 10
"""Certificates that are looked at; of a longer chain the root is missing then."""
_SCHEME_HEADER, _EXPIRY_HEADER = "io.cncf.notary.signingScheme", "io.cncf.notary.expiry"
_UNDERSTOOD = frozenset((_SCHEME_HEADER, _EXPIRY_HEADER))
_RSA = {2048: ("PS256", hashes.SHA256()), 3072: ("PS384", hashes.SHA384()), 4096: ("PS512", hashes.SHA512())}
_EC = {256: ("ES256", hashes.SHA256()), 384: ("ES384", hashes.SHA384()), 521: ("ES512", hashes.SHA512())}


class _Unprotected(msgspec.Struct, frozen=True):
    x5c: tuple[str, ...]


class _Jws(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payload: str
    protected: str
    header: _Unprotected
    signature: str


class _Protected(msgspec.Struct, frozen=True):
    alg: str
    cty: str
    crit: tuple[str, ...]
    scheme: str = msgspec.field(name=_SCHEME_HEADER)
    expiry: datetime | None = msgspec.field(name=_EXPIRY_HEADER, default=None)


class _Artifact(msgspec.Struct, frozen=True, rename="camel"):
    media_type: str
    digest: str
    size: int


class _Payload(msgspec.Struct, frozen=True, rename="camel"):
    target_artifact: _Artifact


_ENVELOPE = msgspec.json.Decoder(_Jws)
_PROTECTED = msgspec.json.Decoder(_Protected)
_PAYLOAD = msgspec.json.Decoder(_Payload)


@dataclass(frozen=True)
class Notation:
    """Signatures count that a trust policy trusts."""

    rules: Rules
    trusted: tuple[x509.Certificate, ...]

    @property
    def fingerprint(self) -> str:
        """Hex digest of rules and certificates."""
        known = sorted(fingerprint(certificate) for certificate in self.trusted)
        rules = self.rules.name, sorted(self.rules.enforced), [sorted(identity) for identity in self.rules.identities]
        return hashlib.sha256(repr(("notation", rules, known)).encode()).hexdigest()

    def candidates(self, shelf: Shelf, target: Target) -> Iterator[Envelope | Refused]:
        """The Notary signatures that refer to the artifact."""
        return envelopes(shelf, target.digest)

    def check(self, candidate: Envelope, target: Target) -> Verified:
        """The subject that made it; raises Refused."""
        if candidate.media_type != JWS:
            raise Refused(f"an envelope of type {quoted(candidate.media_type)} is not supported; sign with JWS")
        try:
            jws = _ENVELOPE.decode(candidate.data)
            ders = [base64.b64decode(one, validate=True) for one in jws.header.x5c[:LONGEST_CHAIN]]
            chain = [x509.load_der_x509_certificate(der) for der in ders]
            headers = _PROTECTED.decode(_decoded(jws.protected))
            payload = _PAYLOAD.decode(_decoded(jws.payload))
            _check_headers(headers)
            _check_signature(jws, headers, chain)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, binascii.Error) as error:
            raise Refused(f"the envelope cannot be read: {quoted(error)}") from error
        _check_artifact(payload.target_artifact, target)
        self._check_trust(headers, chain)
        return Verified(f"certificate {quoted(chain[0].subject.rfc4514_string())}")

    def _check_trust(self, headers: _Protected, chain: list[x509.Certificate]) -> None:
        now, enforced = datetime.now(UTC), self.rules.enforced
        check_chain(chain, self.trusted)
        if not self.rules.allows(chain[0].subject):
            subject = quoted(chain[0].subject.rfc4514_string())
            raise Refused(f"its subject {subject} is not among the trustedIdentities of {self.rules.name!r}")
        if "authenticTimestamp" in enforced:
            check_valid(chain, now)
        if "expiry" in enforced and headers.expiry is not None and headers.expiry <= now:
            raise Refused(f"the signature expired at {headers.expiry:%Y-%m-%dT%H:%M:%SZ}")
        if "revocation" in enforced and revocable(chain):
            raise Refused("revocation of its certificates is not looked up; override revocation in trustpolicy.json")


def _check_headers(headers: _Protected) -> None:
    if headers.cty != PAYLOAD:
        raise Refused(f"the envelope holds {quoted(headers.cty)}, not a payload of the Notary Project")
    if headers.scheme != SCHEME:
        raise Refused(f"the signing scheme {quoted(headers.scheme)} is not supported; {SCHEME} is")
    unknown = set(headers.crit) - _UNDERSTOOD
    if unknown or _SCHEME_HEADER not in headers.crit:
        raise Refused(
            f"the critical headers {quoted(', '.join(sorted(unknown)) or 'without the scheme')} are not supported"
        )
    if headers.expiry is not None and headers.expiry.tzinfo is None:
        raise Refused("the signature's expiry has no time zone")


def _check_signature(jws: _Jws, headers: _Protected, chain: list[x509.Certificate]) -> None:
    if not chain:
        raise Refused("the signature has no certificate")
    key, signature = chain[0].public_key(), _decoded(jws.signature)
    signed = f"{jws.protected}.{jws.payload}".encode("ascii")
    try:
        match key:
            case rsa.RSAPublicKey() if key.key_size in _RSA:
                algorithm, used = _RSA[key.key_size]
                key.verify(signature, signed, padding.PSS(padding.MGF1(used), used.digest_size), used)
            case ec.EllipticCurvePublicKey() if key.key_size in _EC:
                algorithm, used = _EC[key.key_size]
                key.verify(_der(signature, key.key_size), signed, ec.ECDSA(used))
            case _:
                raise Refused("the certificate's key is of a type or size that is not supported")
    except InvalidSignature:
        raise Refused("the signature does not belong to payload and certificate") from None
    if headers.alg != algorithm:
        raise Refused(f"the algorithm {quoted(headers.alg)} is not the certificate's {algorithm}")


def _check_artifact(artifact: _Artifact, target: Target) -> None:
    if (artifact.digest, artifact.size, artifact.media_type) != (target.digest, target.size, target.media_type):
        raise Refused(f"the signature is for {quoted(artifact.digest)}, another artifact")


def _der(signature: bytes, bits: int) -> bytes:
    """ECDSA as JWS writes it, r and s side by side, in DER."""
    width = (bits + 7) // 8
    if len(signature) != 2 * width:
        raise Refused("the signature has the wrong length")
    return encode_dss_signature(int.from_bytes(signature[:width], "big"), int.from_bytes(signature[width:], "big"))


def _decoded(text: str) -> bytes:
    """Base64 for URLs, without padding."""
    if "=" in text or not text.isascii():
        raise ValueError("base64url without padding is expected")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
