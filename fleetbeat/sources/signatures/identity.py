"""Who a certificate of Fulcio says its holder is, and whether spec.verify.matchOIDCIdentity means them.

Owns the extensions of such certificates. Pure; whether a certificate can be believed is keyless.py's question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat import asn1

from fleetbeat.sources.patterns import Pattern
from fleetbeat.sources.signatures.model import Refused, quoted

_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_OLD_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_USER_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7")


@dataclass(frozen=True)
class Matcher:
    """Who may have signed; both patterns must match."""

    issuer: Pattern
    subject: Pattern


@dataclass(frozen=True)
class Holder:
    """Who was given a certificate."""

    issuer: str
    """URL of the OIDC provider."""
    subjects: tuple[str, ...]
    """Mail addresses, URIs of workflows, names."""

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Holder:
        """The identity in a certificate; raises Refused when it has none."""
        holder = cls(_issuer(certificate), tuple(_subjects(certificate)))
        if not holder.issuer or not holder.subjects:
            raise Refused("the certificate names no OIDC issuer or no subject")
        return holder

    def matching(self, matchers: Sequence[Matcher]) -> str:
        """The subject that some matcher means; any without matchers. Raises Refused."""
        if not matchers:
            return self.subjects[0]
        for matcher in matchers:
            for subject in self.subjects:
                if matcher.issuer.matches(self.issuer) and matcher.subject.matches(subject):
                    return subject
        raise Refused(
            f"it was signed by {quoted(self.subjects[0])} of {quoted(self.issuer)}, whom spec.verify.matchOIDCIdentity"
            " does not allow"
        )


def _issuer(certificate: x509.Certificate) -> str:
    extensions = {found.oid: found.value for found in certificate.extensions}
    new, old = extensions.get(_ISSUER), extensions.get(_OLD_ISSUER)
    if isinstance(new, x509.UnrecognizedExtension):
        return asn1.decode_der(str, new.value)
    return old.value.decode() if isinstance(old, x509.UnrecognizedExtension) else ""


def _subjects(certificate: x509.Certificate) -> Iterator[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for name in names:
        if isinstance(name, x509.OtherName) and name.type_id == _USER_NAME:
            yield asn1.decode_der(str, name.value)
        elif isinstance(name, x509.RFC822Name | x509.UniformResourceIdentifier | x509.DNSName):
            yield name.value
