"""The fingerprint: what the API server says of an object's ownership, as one short string.

uid, generation and every `managedFields` entry but those of the status subresource, and but one that owns one of
Flux's finalizers and nothing else: whoever reconciles an applied resource puts it there. By server-side apply's own
rule a changed value moves ownership, so equal fingerprints mean that nobody but controllers' status has touched the
object.
Made from metadata-only answers alone: full objects may spell the same entries differently. No I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from fleetbeat.api.kinds import KINDS

_FINALIZERS = tuple(
    msgspec.Raw(b'{"f:metadata":{"f:finalizers":{".":{},"v:\\"%s\\"":{}}}}' % name.encode())
    for name in sorted({kind.finalizer for kind in KINDS.values() if kind.finalizer})
)
"""As the API server spells them, which is always the same."""


class ManagedFields(msgspec.Struct, frozen=True, rename="camel"):
    """One `managedFields` entry; its field set stays undecoded."""

    manager: str = ""
    operation: str = ""
    api_version: str = ""
    time: str = ""
    subresource: str = ""
    fields: msgspec.Raw = msgspec.field(name="fieldsV1", default=msgspec.Raw(b"{}"))


def fingerprint(uid: str, generation: int, entries: Sequence[ManagedFields]) -> str:
    """32 hex characters; equal for two looks at one object between which only its status moved."""
    digest = hashlib.blake2b(f"{uid}\n{generation}\n".encode(), digest_size=16)
    for entry in entries:
        if entry.subresource != "status" and entry.fields not in _FINALIZERS:
            head = f"{entry.manager}\n{entry.operation}\n{entry.api_version}\n{entry.time}\n{entry.subresource}\n"
            digest.update(head.encode())
            digest.update(entry.fields)
    return digest.hexdigest()
