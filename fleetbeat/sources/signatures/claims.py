"""What a signed payload says, and about which artifact it says so.

Owns the two forms of cosign: "simple signing" JSON, and in-toto statements in DSSE envelopes. Pure: whoever calls has
verified the signature over exactly these bytes. Only the statement that cosign writes for `cosign sign` counts: an
attestation (an SBOM, a scan's findings, a provenance) by the same signer says something else than "deploy this".
"""

from __future__ import annotations

from typing import Any

import msgspec

from fleetbeat.sources.signatures.model import Refused, quoted

SIMPLE_TYPES = ("cosign container image signature", "atomic container signature")
IN_TOTO = "application/vnd.in-toto+json"
STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
SIGNED = "https://sigstore.dev/cosign/sign/v1"


class _Image(msgspec.Struct, frozen=True):
    digest: str = msgspec.field(name="docker-manifest-digest")


class _Critical(msgspec.Struct, frozen=True):
    image: _Image
    type: str


class _Simple(msgspec.Struct, frozen=True):
    critical: _Critical


class _Subject(msgspec.Struct, frozen=True):
    digest: dict[str, str]


class _Statement(msgspec.Struct, frozen=True):
    type: str = msgspec.field(name="_type")
    subject: tuple[_Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")


_SIMPLE = msgspec.json.Decoder(_Simple)
_STATEMENT = msgspec.json.Decoder(_Statement)


def check_simple(payload: bytes, digest: str) -> None:
    """Raises Refused unless the payload is cosign's and about the manifest `digest`."""
    claim = _decoded(_SIMPLE, payload, "simple signing payload").critical
    if claim.type not in SIMPLE_TYPES:
        raise Refused(f"the signed payload is of type {quoted(claim.type)}, not a signature of an artifact")
    if claim.image.digest != digest:
        raise Refused(f"the signature is for {quoted(claim.image.digest)}, another artifact")


def check_statement(payload_type: str, payload: bytes, digest: str) -> None:
    """Raises Refused unless the payload is the statement of a signature of the manifest `digest`."""
    if payload_type != IN_TOTO:
        raise Refused(f"the bundle holds {quoted(payload_type)}, not an in-toto statement")
    statement = _decoded(_STATEMENT, payload, "in-toto statement")
    if statement.type not in STATEMENTS:
        raise Refused(f"the statement is of type {quoted(statement.type)}")
    if statement.predicate_type != SIGNED:
        raise Refused(f"the bundle holds an attestation {quoted(statement.predicate_type)}, which is no signature")
    algorithm, _, value = digest.partition(":")
    if not any(subject.digest.get(algorithm) == value for subject in statement.subject):
        raise Refused("the signed statement is about another artifact")


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that a DSSE signature is over."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _decoded(decoder: msgspec.json.Decoder[Any], data: bytes, what: str) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(f"the {what} cannot be read: {quoted(error)}") from error
