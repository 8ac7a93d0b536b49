"""Metadata-only reads: what sweeps, watches and pruning look at. Microseconds an object, and never anybody's data.

Owns the wire types of PartialObjectMetadata and `Live`. Reads go through Fleetbeat's own account.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from fleetbeat.api.refs import ObjectId
from fleetbeat.kube import pool
from fleetbeat.kube.client import PARTIAL, KubeClient
from fleetbeat.kube.discovery import Resource
from fleetbeat.kube.errors import NoMatch, NotFound
from fleetbeat.kube.fingerprint import ManagedFields, fingerprint

if TYPE_CHECKING:
    from fleetbeat.kube.ledger import LedgerEntry
    from fleetbeat.kube.target import Target

ACCEPT_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PAGE = 5000
"""Objects per answer: bounds the memory of one LIST at about 7 MB."""
COLLECT_FROM = 200_000
"""Bytes from which decoding runs with the garbage collector paused; it would walk the young objects again and again."""


class ObjectMeta(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of metadata that we use."""

    name: str
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    managed_fields: list[ManagedFields] = []


class Partial(msgspec.Struct, frozen=True, rename="camel"):
    """PartialObjectMetadata; also decodes whole objects."""

    metadata: ObjectMeta


class _ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    cont: str = msgspec.field(name="continue", default="")


class PartialList(msgspec.Struct, frozen=True):
    """PartialObjectMetadataList."""

    metadata: _ListMeta
    items: list[Partial] | None = None
    """null when there is none."""


decode_partial = msgspec.json.Decoder(Partial).decode
decode_list = msgspec.json.Decoder(PartialList).decode


class Live(msgspec.Struct, frozen=True):
    """One object as it is on the cluster, without its content."""

    uid: str
    rv: str
    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    deleting: bool

    @classmethod
    def of(cls, meta: ObjectMeta) -> Live:
        """From decoded metadata."""
        return cls(
            meta.uid,
            meta.resource_version,
            fingerprint(meta.uid, meta.generation, meta.managed_fields),
            meta.labels,
            meta.annotations,
            meta.deletion_timestamp is not None,
        )


def list_metadata(target: Target, resource: Resource, selector: str = "", namespace: str = "") -> dict[ObjectId, Live]:
    """All objects of one kind that `selector` (a label selector) matches, in one consistent LIST.

    Reads what is committed, not what a watch cache may lag behind: a fingerprint from before our own write would look
    like drift. Raises KubeError.
    """
    found: dict[ObjectId, Live] = {}
    params: dict[str, str | int | bool] = {"limit": PAGE}
    if selector:
        params["labelSelector"] = selector
    while True:
        body = target.client.request("GET", resource.path(namespace), params, accept=ACCEPT_LIST)
        with _no_collection(len(body)):
            page = decode_list(body)
            for item in page.items or ():
                meta = item.metadata
                found[ObjectId(resource.group, resource.kind, meta.namespace, meta.name)] = Live.of(meta)
        if not page.metadata.cont:
            return found
        params["continue"] = page.metadata.cont


def get_metadata(client: KubeClient, resource: Resource, namespace: str, name: str) -> Live | None:
    """One object, None when it does not exist. Raises KubeError."""
    meta = _get(client, resource, namespace, name)
    return None if meta is None else Live.of(meta)


def _get(client: KubeClient, resource: Resource, namespace: str, name: str) -> ObjectMeta | None:
    try:
        body = client.request("GET", resource.path(namespace, name), accept=PARTIAL)
    except NotFound:
        return None
    return decode_partial(body).metadata


def still_there(target: Target, entries: Mapping[ObjectId, LedgerEntry]) -> dict[ObjectId, tuple[str, ...]]:
    """Those of `entries` that are being deleted and not gone yet, each with its finalizers; what stays does not count.

    In the order of `entries`. Raises KubeError.
    """

    def look(oid: ObjectId) -> tuple[str, ...] | None:
        entry = entries[oid]
        try:
            resource = find_resource(target, oid, entry.version)
        except NoMatch:
            return None if target.discovery.certain(oid.group) else ()
        if resource.namespaced != bool(oid.namespace):
            return None  # the path would lead to another object
        meta = _get(target.client, resource, oid.namespace, oid.name)
        if meta is None or meta.deletion_timestamp is None or (entry.uid and meta.uid != entry.uid):
            return None
        return tuple(meta.finalizers)

    ids = list(entries)
    found = zip(ids, pool.run_all(look, ids), strict=True)
    return {oid: finalizers for oid, finalizers in found if finalizers is not None}


def find_resource(target: Target, oid: ObjectId, version: str) -> Resource:
    """The resource of an object known by its id: in its version, else in whichever is served now. Raises NoMatch."""
    try:
        return target.discovery.resource(oid.group, version, oid.kind)
    except NoMatch:
        return target.discovery.resource(oid.group, "", oid.kind)


@contextmanager
def _no_collection(size: int) -> Iterator[None]:
    if size < COLLECT_FROM or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
