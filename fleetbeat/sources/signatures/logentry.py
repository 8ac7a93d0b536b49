"""The entry of a transparency log as cosign puts it beside a classic signature: the log's promise to include it.

Owns the form of the annotation dev.sigstore.cosign/bundle. Whether the promise is the log's is library.py's question.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from fleetbeat.sources.signatures.model import Refused, quoted


class Payload(msgspec.Struct, frozen=True):
    """What the log signed."""

    body: str
    """Base64 of the entry's JSON."""
    integrated_time: int = msgspec.field(name="integratedTime")
    """Unix seconds."""
    log_index: int = msgspec.field(name="logIndex")
    log_id: str = msgspec.field(name="logID")
    """Hex."""


class Promise(msgspec.Struct, frozen=True):
    """The annotation."""

    signature: str = msgspec.field(name="SignedEntryTimestamp")
    """Base64: the log's, over the payload."""
    payload: Payload = msgspec.field(name="Payload")


class Kind(msgspec.Struct, frozen=True, rename="camel"):
    """What an entry is."""

    kind: str
    api_version: str


_PROMISE = msgspec.json.Decoder(Promise)
_KIND = msgspec.json.Decoder(Kind)


def read_promise(raw: bytes) -> tuple[Promise, Kind]:
    """The promise and what kind its entry is of; raises Refused."""
    try:
        promise = _PROMISE.decode(raw)
        return promise, _KIND.decode(base64.b64decode(promise.payload.body, validate=True))
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error) as error:
        raise Refused(f"the entry of the transparency log cannot be read: {quoted(error)}") from error
