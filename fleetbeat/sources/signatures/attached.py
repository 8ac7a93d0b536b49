"""Where signatures of an artifact lie in its repository.

Owns the three conventions: cosign's tag `sha256-<hex>.sig`, Sigstore bundles and Notary envelopes, both found by the
referrers of a manifest. It fetches and bounds; it believes nothing. What cannot be fetched comes as a Refused, so that
a broken attachment hides no sound one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

from fleetbeat.artifacts.archive import MIB
from fleetbeat.errors import OCIPullFailed
from fleetbeat.sources.oci.manifest import Descriptor, Manifest
from fleetbeat.sources.signatures.model import Refused, Shelf, quoted

T = TypeVar("T")

MAX_SIGNATURES = 32
"""Of one kind and one artifact that are looked at."""
PAYLOAD_BYTES = 1 * MIB
ENVELOPE_BYTES = 4 * MIB

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle"
NOTARY = "application/vnd.cncf.notary.signature"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_CERTIFICATE = "dev.sigstore.cosign/certificate"
_LOG_ENTRY = "dev.sigstore.cosign/bundle"


@dataclass(frozen=True)
class SimpleSignature:
    """What cosign's tag holds: a payload and a signature over exactly its bytes."""

    payload: bytes
    signature: bytes
    certificate: bytes | None = None
    """PEM, of a signature without a key."""
    log_entry: bytes | None = None
    """JSON: the entry of the transparency log with the log's promise."""


@dataclass(frozen=True)
class Envelope:
    """A blob that holds payload, signature and evidence together."""

    media_type: str
    data: bytes


def simple_signatures(shelf: Shelf, digest: str) -> Iterator[SimpleSignature | Refused]:
    """The signatures under cosign's tag for that digest."""
    found = _fetched(partial(shelf.manifest, f"{digest.replace(':', '-', 1)}.sig"))
    if isinstance(found, Refused):
        yield found
        return
    layers = (layer for layer in found.layers if layer.media_type == SIMPLE) if found else ()
    for layer in islice(layers, MAX_SIGNATURES):
        yield _fetched(partial(_simple, shelf, layer))


def bundles(shelf: Shelf, digest: str) -> Iterator[Envelope | Refused]:
    """The Sigstore bundles that refer to that digest."""
    return _referring(shelf, digest, BUNDLE)


def envelopes(shelf: Shelf, digest: str) -> Iterator[Envelope | Refused]:
    """The Notary signatures that refer to that digest."""
    return _referring(shelf, digest, NOTARY)


def _referring(shelf: Shelf, digest: str, kind: str) -> Iterator[Envelope | Refused]:
    wanted = (found for found in shelf.referrers(digest) if (found.artifact_type or "").startswith(kind))
    for descriptor in islice(wanted, MAX_SIGNATURES):
        yield _fetched(partial(_envelope, shelf, descriptor, digest))


def _envelope(shelf: Shelf, descriptor: Descriptor, digest: str) -> Envelope:
    manifest = shelf.manifest(descriptor.digest)
    if manifest is None or len(manifest.layers) != 1:
        raise Refused(f"the signature manifest {descriptor.digest} is missing or has not exactly one layer")
    _about(manifest, digest)
    layer = manifest.layers[0]
    return Envelope(layer.media_type, shelf.blob(layer, ENVELOPE_BYTES))


def _about(manifest: Manifest, digest: str) -> None:
    subject = manifest.document.subject
    if subject is None or subject.digest != digest:
        raise Refused(f"the signature manifest {manifest.digest} is about another artifact")


def _simple(shelf: Shelf, layer: Descriptor) -> SimpleSignature:
    notes = layer.annotations or {}
    try:
        signature = base64.b64decode(notes.get(_SIGNATURE, ""), validate=True)
    except binascii.Error:
        signature = b""
    if not signature:
        raise Refused(f"the layer {layer.digest} has no signature in its annotation {_SIGNATURE}")
    certificate, entry = (value.encode() if (value := notes.get(name)) else None for name in (_CERTIFICATE, _LOG_ENTRY))
    return SimpleSignature(shelf.blob(layer, PAYLOAD_BYTES), signature, certificate, entry)


def _fetched(fetch: Callable[[], T]) -> T | Refused:
    try:
        return fetch()
    except Refused as refused:
        return refused
    except OCIPullFailed as error:
        return Refused(f"a signature cannot be fetched: {quoted(error.message)}")
