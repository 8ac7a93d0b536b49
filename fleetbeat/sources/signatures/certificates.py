"""Chains of certificates that sign code, by the rules of the Notary Project.

Owns what leaf, authorities and their order must be, and reading certificates of a Secret. Pure: whom to trust is said
by the caller, and only basic constraints, key usages and extended key usages are looked at, as those rules want it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from fleetbeat.errors import VerificationFailed
from fleetbeat.sources.signatures.model import LONGEST, Refused, quoted

SUFFIXES = (".crt", ".pem")
_FORBIDDEN = frozenset(
    (
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.TIME_STAMPING,
    )
)


def load_certificates(data: Mapping[str, bytes], secret: str) -> tuple[x509.Certificate, ...]:
    """Every certificate under the keys `*.crt` and `*.pem` of a Secret, in PEM or DER; raises VerificationFailed."""
    found: list[x509.Certificate] = []
    for name in sorted(name for name in data if name.endswith(SUFFIXES)):
        try:
            found.extend(_load(data[name]))
        except ValueError:
            raise VerificationFailed(f"Secret {secret}: the key {name} is not a certificate in PEM or DER") from None
    if not found:
        raise VerificationFailed(f"Secret {secret} has no certificate; trusted ones go under keys *.crt or *.pem")
    return tuple(found)


def _load(data: bytes) -> Sequence[x509.Certificate]:
    if b"-----BEGIN" in data:
        return x509.load_pem_x509_certificates(data)
    return (x509.load_der_x509_certificate(data),)


def fingerprint(certificate: x509.Certificate) -> str:
    """Hex sha256 of the certificate."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def check_chain(chain: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate]) -> None:
    """Raises Refused unless `chain`, leaf first, is whole, fit to sign code, and has a trusted certificate in it."""
    if not chain:
        raise Refused("the signature has no certificate")
    try:
        _check_leaf(chain[0])
        for place, issuer in enumerate(chain[1:]):
            _check_authority(issuer, below=place)
        for child, issuer in zip(chain, (*chain[1:], chain[-1]), strict=True):
            _check_issued(child, issuer)
    except x509.ExtensionNotFound as error:
        raise Refused("a certificate of its chain lacks basic constraints or key usage") from error
    except (ValueError, TypeError, InvalidSignature) as error:
        raise Refused(f"its chain of certificates does not hold: {str(error)[:LONGEST] or 'wrong issuer'}") from error
    known = {fingerprint(certificate) for certificate in trusted}
    if not any(fingerprint(certificate) in known for certificate in chain):
        raise Refused(f"its certificate {quoted(chain[0].subject.rfc4514_string())} leads to none that is trusted")


def check_valid(chain: Sequence[x509.Certificate], now: datetime) -> None:
    """Raises Refused unless every certificate is valid at `now`."""
    for certificate in chain:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            name = quoted(certificate.subject.rfc4514_string())
            raise Refused(f"its certificate {name} is not valid now (until {certificate.not_valid_after_utc:%Y-%m-%d})")


def revocable(chain: Sequence[x509.Certificate]) -> bool:
    """Whether any certificate names a server that would tell whether it was revoked."""
    return any(
        found.oid in (x509.CRLDistributionPoints.oid, x509.AuthorityInformationAccess.oid)
        for certificate in chain
        for found in certificate.extensions
    )


def _check_leaf(leaf: x509.Certificate) -> None:
    for found in leaf.extensions:
        if isinstance(found.value, x509.BasicConstraints) and found.value.ca:
            raise ValueError("the first certificate is an authority")
        if isinstance(found.value, x509.ExtendedKeyUsage) and not _FORBIDDEN.isdisjoint(found.value):
            raise ValueError("the certificate is not for signing code")
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    value = usage.value
    others = value.key_encipherment, value.data_encipherment, value.key_agreement, value.key_cert_sign, value.crl_sign
    if not usage.critical or not value.digital_signature or any(others):
        raise ValueError("the certificate is not for digital signatures alone")


def _check_authority(authority: x509.Certificate, below: int) -> None:
    """`below` is how many authorities stand between it and the leaf."""
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage)
    if not constraints.critical or not constraints.value.ca or not usage.critical or not usage.value.key_cert_sign:
        raise ValueError("a certificate of the chain is no authority")
    if constraints.value.path_length is not None and constraints.value.path_length < below:
        raise ValueError("the chain is longer than an authority allows")


def _check_issued(child: x509.Certificate, issuer: x509.Certificate) -> None:
    if isinstance(child.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
        raise ValueError("a certificate is signed with a hash that is no longer safe")
    child.verify_directly_issued_by(issuer)
