"""What cosign signs, made from scratch: payloads, statements, and signatures with keys."""

from __future__ import annotations

import base64
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fleetbeat.sources.signatures.claims import IN_TOTO, SIGNED, pae

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def simple_payload(digest: str, **critical: object) -> bytes:
    """The payload of a classic signature."""
    base = {
        "identity": {"docker-reference": "registry.example/app"},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": base | critical, "optional": None}).encode()


def statement(digest: str, predicate: str = SIGNED) -> bytes:
    """The in-toto statement of a bundle."""
    subject = [{"name": "", "digest": {"sha256": digest.partition(":")[2]}}]
    document = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate}
    return json.dumps({**document, "predicate": {}}).encode()


def sign(key: PrivateKey, data: bytes) -> bytes:
    """A signature as cosign makes it with that type of key."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(data, ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPrivateKey():
            return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        case _:
            return key.sign(data)


def public_pem(key: PrivateKey) -> bytes:
    """What goes into `cosign.pub`."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def envelope(payload: bytes, signature: bytes, kind: str = IN_TOTO) -> dict[str, object]:
    """The JSON of a DSSE envelope."""
    signatures = [{"sig": base64.b64encode(signature).decode()}]
    return {"payload": base64.b64encode(payload).decode(), "payloadType": kind, "signatures": signatures}


def key_bundle(key: PrivateKey, payload: bytes) -> bytes:
    """A bundle of a signature with a key."""
    material = {"publicKey": {"hint": "any"}, "tlogEntries": []}
    dsse = envelope(payload, sign(key, pae(IN_TOTO, payload)))
    return json.dumps({"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": dsse}).encode()
