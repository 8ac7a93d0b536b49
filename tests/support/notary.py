"""What notation signs, made from scratch: a certificate authority, signers, and JWS envelopes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleetbeat.sources.signatures import Target

JWS = "application/jose+json"
NOTARY = "application/vnd.cncf.notary.signature"
_OIDS = {
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "CN": NameOID.COMMON_NAME,
}
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _name(attributes: Mapping[str, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(_OIDS[name], value) for name, value in attributes.items()])


def _usage(name: str) -> x509.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    every = dict.fromkeys((*names.split(), "crl_sign", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(**every | {name: True})


@dataclass
class Authority:
    """A certificate authority; `issuer` certified it, else itself."""

    name: str = "authority"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))
    issuer: Authority | None = None
    below: int = 0
    """How many authorities may follow it in a chain."""

    def __post_init__(self) -> None:
        issuer = self.issuer or self
        builder = _builder(_name({"CN": self.name}), _name({"CN": issuer.name}), self.key, timedelta(days=365))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=self.below), critical=True)
        builder = builder.add_extension(_usage("key_cert_sign"), critical=True)
        self.certificate = builder.sign(issuer.key, hashes.SHA384())

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """Its certificate and those above it."""
        return (self.certificate, *(self.issuer.chain if self.issuer else ()))

    @property
    def pem(self) -> bytes:
        """What goes into the Secret."""
        return self.certificate.public_bytes(Encoding.PEM)

    def signer(
        self,
        key: Key | None = None,
        *,
        life: timedelta = timedelta(days=30),
        usage: str = "digital_signature",
        extended: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CODE_SIGNING,),
        crl: str = "",
        issuer: x509.Name | None = None,
        authority: bool = False,
        **attributes: str,
    ) -> Signer:
        """Somebody who signs, by default C=RO, ST=BU, O=acme, CN=ci."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = _name({"C": "RO", "ST": "BU", "O": "acme", "CN": "ci"} | attributes)
        builder = _builder(subject, issuer or self.certificate.subject, key, life)
        builder = builder.add_extension(_usage(usage), critical=True)
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(extended)), critical=True)
        if authority:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        if crl:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl)], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        return Signer(key, (builder.sign(self.key, hashes.SHA384()), *self.chain))


def self_signed(key: Key) -> Signer:
    """A signer with a certificate of its own, as `notation cert generate-test` makes them."""
    subject = _name({"C": "RO", "ST": "BU", "O": "acme", "CN": "own"})
    builder = _builder(subject, subject, key, timedelta(days=30))
    builder = builder.add_extension(_usage("digital_signature"), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=True)
    return Signer(key, (builder.sign(key, hashes.SHA256()),))


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, life: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + life)
    )


@dataclass(frozen=True)
class Signer:
    """A key with its chain of certificates, leaf first."""

    key: Key
    chain: tuple[x509.Certificate, ...]

    @property
    def algorithm(self) -> str:
        """As JWS calls it."""
        size = self.key.key_size
        if isinstance(self.key, rsa.RSAPrivateKey):
            return {2048: "PS256", 3072: "PS384", 4096: "PS512"}[size]
        return {256: "ES256", 384: "ES384", 521: "ES512"}[size]

    def envelope(self, target: Target, *, artifact: Mapping[str, Any] | None = None, **headers: Any) -> bytes:
        """A JWS envelope; `artifact` and `headers` override parts of the payload and the protected header."""
        about = {"mediaType": target.media_type, "digest": target.digest, "size": target.size, **(artifact or {})}
        protected = {
            "alg": self.algorithm,
            "cty": "application/vnd.cncf.notary.payload.v1+json",
            "crit": ["io.cncf.notary.signingScheme"],
            "io.cncf.notary.signingScheme": "notary.x509",
            "io.cncf.notary.signingTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        } | headers
        head, body = (_b64url(json.dumps(part).encode()) for part in (protected, {"targetArtifact": about}))
        ders = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in self.chain]
        document = {
            "payload": body,
            "protected": head,
            "header": {"x5c": ders, "io.cncf.notary.signingAgent": "test/1"},
            "signature": _b64url(self._sign(f"{head}.{body}".encode())),
        }
        return json.dumps(document).encode()

    def _sign(self, data: bytes) -> bytes:
        used = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[self.algorithm[2:]]
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PSS(padding.MGF1(used), used.digest_size), used)
        width = (self.key.key_size + 7) // 8
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(used)))
        return r.to_bytes(width, "big") + s.to_bytes(width, "big")


def trust_policy(**statement: Any) -> bytes:
    """A `trustpolicy.json` of one strict statement for every repository."""
    base = {
        "name": "all",
        "registryScopes": ["*"],
        "signatureVerification": {"level": "strict"},
        "trustStores": ["ca:any"],
        "trustedIdentities": ["*"],
    }
    return json.dumps({"version": "1.0", "trustPolicies": [base | statement]}).encode()
