"""Signatures that cosign made with a key.

Owns which of them count: the signature is over exactly the payload's bytes, by any key of the Secret, and the payload
is about the artifact's manifest. As with Flux, no transparency log is asked for: whoever holds the private key needs
no witness, so an entry of a log is neither required nor looked at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fleetbeat.sources.signatures.attached import BUNDLE, Envelope, SimpleSignature, bundles, simple_signatures
from fleetbeat.sources.signatures.claims import check_simple, check_statement, pae
from fleetbeat.sources.signatures.keys import Key
from fleetbeat.sources.signatures.model import Refused, Shelf, Target, Verified, quoted


class _Signature(msgspec.Struct, frozen=True):
    sig: str


class _Dsse(msgspec.Struct, frozen=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: tuple[_Signature, ...]


class _Bundle(msgspec.Struct, frozen=True, rename="camel"):
    dsse_envelope: _Dsse | None = None


_BUNDLE = msgspec.json.Decoder(_Bundle)


@dataclass(frozen=True)
class Keyed:
    """Signatures count that one of these keys made."""

    keys: tuple[Key, ...]

    @property
    def fingerprint(self) -> str:
        """Hex digest of the keys and what they are called."""
        state = hashlib.sha256(b"cosign keys")
        for key in self.keys:
            der = key.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            state.update(f"\0{key.name}\0{hashlib.sha256(der).hexdigest()}".encode())
        return state.hexdigest()

    def candidates(self, shelf: Shelf, target: Target) -> Iterator[SimpleSignature | Envelope | Refused]:
        """Those under cosign's tag, then the bundles."""
        yield from simple_signatures(shelf, target.digest)
        yield from bundles(shelf, target.digest)

    def check(self, candidate: SimpleSignature | Envelope, target: Target) -> Verified:
        """The key that made it; raises Refused."""
        if isinstance(candidate, SimpleSignature):
            key = self._signer(candidate.signature, candidate.payload)
            check_simple(candidate.payload, target.digest)
        else:
            kind, payload, signature = opened(candidate)
            key = self._signer(signature, pae(kind, payload))
            check_statement(kind, payload, target.digest)
        return Verified(f"key {key.name}")

    def _signer(self, signature: bytes, data: bytes) -> Key:
        for key in self.keys:
            if key.verifies(signature, data):
                return key
        raise Refused(f"a signature was made by none of the keys {', '.join(key.name for key in self.keys)}")


def opened(bundle: Envelope) -> tuple[str, bytes, bytes]:
    """Payload type, payload and signature of a bundle's DSSE envelope; raises Refused."""
    if not bundle.media_type.startswith(BUNDLE):
        raise Refused(f"a bundle of media type {quoted(bundle.media_type)} is not supported")
    try:
        envelope = _BUNDLE.decode(bundle.data).dsse_envelope
        if envelope is None or len(envelope.signatures) != 1:
            raise Refused("a bundle without a DSSE envelope with one signature is not supported")
        payload, signature = (
            base64.b64decode(text, validate=True) for text in (envelope.payload, envelope.signatures[0].sig)
        )
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error) as error:
        raise Refused(f"the bundle cannot be read: {quoted(error)}") from error
    return envelope.payload_type, payload, signature
