"""The fingerprint: what the API server says of an object's ownership, as one short string.

uid, generation and every `managedFields` entry but those of the status subresource, and but those that own nothing
else than one of Flux's finalizers or the request of a run: who applied a resource need not look at it again because it
is reconciled. By server-side apply's own rule a changed value moves ownership, so equal fingerprints mean that nobody
but controllers' status has touched the object.
Made from metadata-only answers alone: full objects may spell the same entries differently. No I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import REQUESTED_AT

_FINALIZERS = tuple(
    msgspec.Raw(b'{"f:metadata":{"f:finalizers":{".":{},"v:\\"%s\\"":{}}}}' % name.encode())
    for name in sorted({kind.finalizer for kind in KINDS.values() if kind.finalizer})
)
"""As the API server spells them, which is always the same."""
_REQUESTS = tuple(
    msgspec.Raw(b'{"f:metadata":{"f:annotations":{%s"f:%s":{}}}}' % (first, REQUESTED_AT.encode()))
    for first in (b"", b'".":{},')
)
"""Likewise, on an object with other annotations and without."""


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
        if not _says_nothing(entry):
            head = f"{entry.manager}\n{entry.operation}\n{entry.api_version}\n{entry.time}\n{entry.subresource}\n"
            digest.update(head.encode())
            digest.update(entry.fields)
    return digest.hexdigest()


def _says_nothing(entry: ManagedFields) -> bool:
    """What kubectl owns is taken over, a request too; of others it is nobody's business."""
    if entry.subresource == "status" or entry.fields in _FINALIZERS:
        return True
    return entry.fields in _REQUESTS and not entry.manager.startswith("kubectl")
