"""What moves a fingerprint and what does not, entry by entry."""

from __future__ import annotations

import msgspec
import pytest

from fleetbeat.kube.fingerprint import ManagedFields, fingerprint
from fleetbeat.kube.metadata import Live, decode_list, decode_partial

pytestmark = pytest.mark.unit

OURS = ManagedFields("kustomize-controller", "Apply", "v1", "2026-01-01T00:00:00Z", "", msgspec.Raw(b'{"f:data":{}}'))
BASE = fingerprint("uid", 1, [OURS])


def changed(**fields: object) -> ManagedFields:
    return msgspec.structs.replace(OURS, **fields)


@pytest.mark.parametrize(
    ("uid", "generation", "entries"),
    [
        ("other", 1, [OURS]),
        ("uid", 2, [OURS]),
        ("uid", 1, []),
        ("uid", 1, [changed(manager="kubectl")]),
        ("uid", 1, [changed(operation="Update")]),
        ("uid", 1, [changed(api_version="v2")]),
        ("uid", 1, [changed(time="2026-01-01T00:00:01Z")]),
        ("uid", 1, [changed(fields=msgspec.Raw(b'{"f:data":{"f:a":{}}}'))]),
        ("uid", 1, [OURS, changed(manager="kubectl", subresource="scale")]),
    ],
)
def test_ownership_moves_it(uid: str, generation: int, entries: list[ManagedFields]) -> None:
    """Another object, generation, owner, time or field is another fingerprint."""
    assert fingerprint(uid, generation, entries) != BASE


def test_status_does_not_move_it() -> None:
    """Entries of the status subresource are left out."""
    status = changed(manager="kube-controller-manager", operation="Update", subresource="status")
    assert fingerprint("uid", 1, [OURS, status]) == BASE


def test_lists_and_single_objects_agree() -> None:
    """The fingerprint of one GET is that of the LIST a sweep makes."""
    metadata = (
        b'{"name":"x","uid":"uid","generation":1,"managedFields":[{"manager":"kustomize-controller","operation":"Apply",'
        b'"apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{}}}]}'
    )
    one = Live.of(decode_partial(b'{"metadata":' + metadata + b"}").metadata)
    listed = decode_list(b'{"metadata":{},"items":[{"metadata":' + metadata + b"}]}").items[0]
    assert one.fingerprint == Live.of(listed.metadata).fingerprint == BASE
