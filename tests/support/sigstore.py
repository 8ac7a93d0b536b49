"""A Sigstore of one's own: the authority, the CT log and the transparency log, with their keys in memory.

Everything is made as the real services make it, so that the whole verification runs: certificates with the OIDC
extensions and an embedded timestamp of the CT log, log entries with the log's promise, and with a proof of inclusion.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleetbeat.sources.signatures.claims import IN_TOTO, pae
from tests.support.cosigned import BUNDLE, envelope, sign

_SCT = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_OLD_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def der_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Its public half in DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "test"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _opaque(data: bytes) -> bytes:
    """An ASN.1 octet string."""
    size = len(data)
    head = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return b"\x04" + head + data


def _usage(**used: bool) -> x509.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    every = dict.fromkeys((*names.split(), "crl_sign", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(**every | used)


@dataclass
class Sigstore:
    """Authority and logs."""

    root_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    ca_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    ct_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    log_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __post_init__(self) -> None:
        self.root = self._authority("root", self.root_key, "root", self.root_key, 1)
        self.ca = self._authority("intermediate", self.ca_key, "root", self.root_key, 0)

    def _authority(
        self, name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey, below: int
    ) -> x509.Certificate:
        builder = self._builder(name, key, issuer, by, timedelta(days=3650))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True)
        return builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True).sign(by, hashes.SHA256())

    def _builder(
        self, name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey, life: timedelta
    ) -> x509.CertificateBuilder:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
        begin = self.now - timedelta(days=365) if name else self.now
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name) if name else x509.Name([]))
            .issuer_name(_name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(self.now + life)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority, critical=False)
        )

    def trusted_root(self) -> bytes:
        """Its `trusted_root.json`."""
        since = {"start": (self.now - timedelta(days=365)).strftime("%Y-%m-%dT%H:%M:%SZ")}
        chain = [{"rawBytes": _b64(one.public_bytes(Encoding.DER))} for one in (self.ca, self.root)]
        authority = {
            "subject": {"organization": "test", "commonName": "test"},
            "uri": "https://fulcio.example",
            "certChain": {"certificates": chain},
            "validFor": since,
        }
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [_log("https://rekor.example", self.log_key, since)],
            "certificateAuthorities": [authority],
            "ctlogs": [_log("https://ct.example", self.ct_key, since)],
            "timestampAuthorities": [],
        }
        return json.dumps(document).encode()

    def certificate(
        self, key: ec.EllipticCurvePrivateKey, subject: str, issuer: str, *, stamped: bool = True
    ) -> x509.Certificate:
        """A certificate of ten minutes for an identity; a subject with `://` is a workflow, else a mail address."""
        kind = x509.UniformResourceIdentifier if "://" in subject else x509.RFC822Name
        text = issuer.encode()
        builder = (
            self._builder("", key, "intermediate", self.ca_key, timedelta(minutes=10))
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectAlternativeName([kind(subject)]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_OLD_ISSUER, text), critical=False)
            .add_extension(x509.UnrecognizedExtension(_ISSUER, b"\x0c" + bytes([len(text)]) + text), critical=False)
        )
        if not stamped:
            return builder.sign(self.ca_key, hashes.SHA256())
        first = builder.sign(self.ca_key, hashes.SHA256())
        stamp = x509.UnrecognizedExtension(_SCT, _opaque(self._stamp(first.tbs_certificate_bytes)))
        return builder.add_extension(stamp, critical=False).sign(self.ca_key, hashes.SHA256())

    def _stamp(self, tbs: bytes) -> bytes:
        """A list of one signed certificate timestamp (RFC 6962, 3.2 and 3.3)."""
        when = int(self.now.timestamp() * 1000)
        issuer = hashlib.sha256(der_of(self.ca_key)).digest()
        signed = struct.pack("!BBQH", 0, 0, when, 1) + issuer + len(tbs).to_bytes(3, "big") + tbs + b"\0\0"
        signature = sign(self.ct_key, signed)
        log = hashlib.sha256(der_of(self.ct_key)).digest()
        stamp = b"\0" + log + struct.pack("!QH", when, 0) + b"\x04\x03" + struct.pack("!H", len(signature)) + signature
        one = struct.pack("!H", len(stamp)) + stamp
        return struct.pack("!H", len(one)) + one

    # Signing

    def classic(self, payload: bytes, subject: str, issuer: str, **how: bool) -> tuple[bytes, dict[str, str]]:
        """A signature as cosign's tag holds it: itself, and the annotations `certificate` and `bundle`."""
        key = new_key()
        pem = self.certificate(key, subject, issuer, **how).public_bytes(Encoding.PEM)
        signature = sign(key, payload)
        body = _hashedrekord(pem, signature, hashlib.sha256(payload).hexdigest())
        entry = self._entry(body)
        told = {"SignedEntryTimestamp": _b64(self._promise(entry)), "Payload": entry}
        return signature, {"certificate": pem.decode(), "bundle": json.dumps(told)}

    def bundle(self, payload: bytes, subject: str, issuer: str, **how: bool) -> bytes:
        """A bundle v0.3 of an in-toto statement."""
        key = new_key()
        certificate = self.certificate(key, subject, issuer, **how)
        signature = sign(key, pae(IN_TOTO, payload))
        body = _dsse(certificate.public_bytes(Encoding.PEM), signature, payload)
        material = {
            "certificate": {"rawBytes": _b64(certificate.public_bytes(Encoding.DER))},
            "tlogEntries": [self._included(self._entry(body), body)],
        }
        document = {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope(payload, signature)}
        return json.dumps(document).encode()

    def _entry(self, body: bytes) -> dict[str, Any]:
        log = hashlib.sha256(der_of(self.log_key)).hexdigest()
        return {"body": _b64(body), "integratedTime": int(self.now.timestamp()) + 5, "logIndex": 1, "logID": log}

    def _promise(self, entry: dict[str, Any]) -> bytes:
        canonical = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        return sign(self.log_key, canonical)

    def _included(self, entry: dict[str, Any], body: bytes) -> dict[str, Any]:
        """The entry as the second of a log of two, with proof and checkpoint."""
        sibling = hashlib.sha256(b"\0the first entry").digest()
        root = hashlib.sha256(b"\1" + sibling + hashlib.sha256(b"\0" + body).digest()).digest()
        log = bytes.fromhex(entry["logID"])
        note = f"rekor.example - 1\n2\n{_b64(root)}\n"
        signed = _b64(log[:4] + sign(self.log_key, note.encode()))
        proof = {
            "logIndex": "1",
            "rootHash": _b64(root),
            "treeSize": "2",
            "hashes": [_b64(sibling)],
            "checkpoint": {"envelope": f"{note}\n\u2014 rekor.example {signed}\n"},
        }
        return {
            "logIndex": "1",
            "logId": {"keyId": _b64(log)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(entry["integratedTime"]),
            "inclusionPromise": {"signedEntryTimestamp": _b64(self._promise(entry))},
            "inclusionProof": proof,
            "canonicalizedBody": entry["body"],
        }


def _log(url: str, key: ec.EllipticCurvePrivateKey, since: dict[str, str]) -> dict[str, Any]:
    der = der_of(key)
    public = {"rawBytes": _b64(der), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since}
    log = {"keyId": _b64(hashlib.sha256(der).digest())}
    return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": log}


def _hashedrekord(pem: bytes, signature: bytes, digest: str) -> bytes:
    spec = {
        "data": {"hash": {"algorithm": "sha256", "value": digest}},
        "signature": {"content": _b64(signature), "publicKey": {"content": _b64(pem)}},
    }
    return json.dumps({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec}).encode()


def _dsse(pem: bytes, signature: bytes, payload: bytes) -> bytes:
    spec = {
        "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(b"envelope").hexdigest()},
        "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
        "signatures": [{"signature": _b64(signature), "verifier": _b64(pem)}],
    }
    return json.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}).encode()
