"""What a resource has applied to a cluster, kept on that cluster: one ConfigMap per ref.

Owns its form and its safety: every save is refused when somebody else saved since it was loaded, and by a run older
than the last one that saved. *Absent* (nothing was ever applied) and *unreadable* are told apart, because
pruning on either is forbidden and only the first may be started anew. Values of objects are never in it, only digests.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.errors import LedgerUnreadable, LostLease
from fleetbeat.kube import namespaces
from fleetbeat.kube.client import PARTIAL, KubeClient
from fleetbeat.kube.errors import Conflict, Forbidden, KubeError, NotFound

NAMESPACE = "fleetbeat-system"
LABEL = "fleetbeat.io/ledger"
"""Label of a ledger: the id of its hub."""
REF = "fleetbeat.io/ref"
"""Annotation: its resource."""
KEY = "ledger.json.gz"
FORMAT = 1
MAX_BYTES = 900_000
"""Compressed; a ConfigMap holds 1 MiB of base64."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The artifact that a run has applied completely."""

    source: str
    """The source's identity: a source that was made anew starts a new order of fences."""
    revision: str
    digest: str
    fence: int
    """The fence of the source run that made the artifact."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One object. An entry without digest was intended and perhaps never written."""

    version: str
    """API version without its group."""
    digest: str = ""
    """Digest of the desired object as last applied; "" when it must be compared anew."""
    fingerprint: str = ""
    """The live object's fingerprint after our last write or look; "" when it is not to be relied on."""
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Deletions that the prune brake stopped; `confirmed`: that were allowed since, and are not through yet."""

    of: int
    """How many objects the inventory had when the brake was pulled."""
    code: str
    """Hash of the list, which the confirming annotation repeats."""
    ids: tuple[str, ...]
    """Inventory ids, sorted."""
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one ref as loaded or last saved."""

    ref: Ref
    hub_id: str
    fence: int = 0
    """The fence of the run that saved it last."""
    applied: Applied | None = None
    entries: Mapping[ObjectId, LedgerEntry] = field(default_factory=dict)
    held: Held | None = None
    left: tuple[str, ...] = ()
    """Places (`Reach.place`; "" is the hub) that the ref was moved away from and that may still hold its objects."""
    resource_version: str = ""
    uid: str = ""
    """The ConfigMap's own: two ledgers with one uid are one, on one cluster."""
    namespace: str = NAMESPACE

    @property
    def exists(self) -> bool:
        """False when the cluster has no ledger of this ref: nothing may be pruned."""
        return bool(self.resource_version)

    @property
    def name(self) -> str:
        """The ConfigMap's name."""
        digest = hashlib.sha256(f"{self.hub_id}/{self.ref}".encode()).hexdigest()
        return f"ledger-{digest[:40]}"

    def save_superset(
        self,
        client: KubeClient,
        intended: Mapping[ObjectId, LedgerEntry],
        fence: int,
        applied: Applied | None = None,
        left: Iterable[str] = (),
    ) -> Ledger:
        """Before a run's first write: everything known and everything intended. Returns the ledger as saved.

        `applied` is the artifact that is about to be applied: from now on no older one may be, even if this run dies.
        `left` joins the places that are to be cleaned.
        Raises LostLease when another run saved in between or a newer one saved before.
        """
        entries = {**intended, **self.entries}
        places = tuple(dict.fromkeys((*self.left, *left)))
        new = replace(self, entries=entries, applied=applied or self.applied, left=places, fence=fence)
        return self._save(client, new)

    def save_exact(
        self,
        client: KubeClient,
        entries: Mapping[ObjectId, LedgerEntry],
        applied: Applied | None,
        fence: int,
        held: Held | None = None,
    ) -> Ledger:
        """After a run: exactly what is there now and the artifact it came from. Raises LostLease as above."""
        return self._save(client, replace(self, entries=dict(entries), applied=applied, held=held, fence=fence))

    def save_held(self, client: KubeClient, held: Held, fence: int) -> Ledger:
        """Before deletions that were confirmed: nobody is asked for them again when this run dies on the way."""
        return self._save(client, replace(self, held=held, fence=fence))

    def save_left(self, client: KubeClient, left: tuple[str, ...], fence: int) -> Ledger:
        """The places that are still to be cleaned."""
        return self._save(client, replace(self, left=left, fence=fence))

    def _save(self, client: KubeClient, new: Ledger) -> Ledger:
        if new.fence < self.fence:
            raise LostLease(f"a newer run saved the ledger of {self.ref}")
        body = _config_map(new)
        try:
            saved = _write(client, new, body)
        except NotFound as error:
            if new.exists:
                raise LedgerUnreadable(
                    f"ledger {new.namespace}/{new.name} of {new.ref} was deleted meanwhile"
                ) from error
            _create_namespace(client, new.namespace)
            saved = _write(client, new, body)
        return replace(new, resource_version=saved["metadata"]["resourceVersion"], uid=saved["metadata"]["uid"])


def load(client: KubeClient, ref: Ref, hub_id: str) -> Ledger:
    """The ledger of `ref`, one that does not `exist` when the cluster has none.

    An account that may not use `fleetbeat-system` keeps its ledger in its kubeconfig's namespace.
    Raises LedgerUnreadable when it is there but cannot be read or is not ours.
    """
    empty = Ledger(ref, hub_id)
    own = client.config.namespace
    try:
        return _load(client, empty)
    except Forbidden as error:
        if not own or own == NAMESPACE:
            raise LedgerUnreadable(
                f"ledger {NAMESPACE}/{empty.name} cannot be read: {error.message}; "
                f"grant the account get, create, update and delete on configmaps in {NAMESPACE}, "
                "or name a namespace in the kubeconfig's context"
            ) from error
    try:
        return _load(client, replace(empty, namespace=own))
    except Forbidden as error:
        raise LedgerUnreadable(f"ledger {own}/{empty.name} cannot be read: {error.message}") from error


def delete(client: KubeClient, ledger: Ledger) -> None:
    """Remove the ledger as it was loaded; raises LostLease when somebody saved it since."""
    if not ledger.exists:
        return
    try:
        client.delete(_path(ledger), resource_version=ledger.resource_version)
    except NotFound:
        pass
    except Conflict as error:
        raise LostLease(f"another run saved the ledger of {ledger.ref}") from error


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    group: str
    kind: str
    namespace: str
    name: str
    version: str
    digest: str = ""
    fingerprint: str = ""
    uid: str = ""


class _Document(msgspec.Struct, frozen=True, omit_defaults=True):
    format: int
    ref: str
    hub: str
    fence: int
    applied: Applied | None
    entries: list[_Entry]
    held: Held | None = None
    left: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(_Document)


def _path(ledger: Ledger, name: str | None = None) -> str:
    base = f"/api/v1/namespaces/{ledger.namespace}/configmaps"
    return f"{base}/{ledger.name if name is None else name}".rstrip("/")


def _load(client: KubeClient, empty: Ledger) -> Ledger:
    where = f"ledger {empty.namespace}/{empty.name} of {empty.ref}"
    try:
        found = client.get(_path(empty))
    except NotFound:
        return empty
    document = _decode(found, where)
    if (document.ref, document.hub) != (str(empty.ref), empty.hub_id):
        raise LedgerUnreadable(f"{where} belongs to {document.ref} of another hub")
    if document.format != FORMAT:
        raise LedgerUnreadable(f"{where} has format {document.format}; this version reads {FORMAT}")
    return replace(
        empty,
        fence=document.fence,
        applied=document.applied,
        entries=_entries(document),
        held=document.held,
        left=document.left,
        resource_version=found["metadata"]["resourceVersion"],
        uid=found["metadata"]["uid"],
    )


def _decode(found: Mapping[str, Any], where: str) -> _Document:
    try:
        packed = base64.b64decode(found["binaryData"][KEY], validate=True)
        return _decoder.decode(gzip.decompress(packed))
    except (KeyError, TypeError, ValueError, EOFError, OSError, msgspec.MsgspecError) as error:
        damage = f"{where} is damaged ({type(error).__name__}); restore it, or delete it to start anew"
        raise LedgerUnreadable(damage) from error


def _entries(document: _Document) -> dict[ObjectId, LedgerEntry]:
    return {
        ObjectId(e.group, e.kind, e.namespace, e.name): LedgerEntry(e.version, e.digest, e.fingerprint, e.uid)
        for e in document.entries
    }


def entries_of(config_map: Mapping[str, Any]) -> dict[ObjectId, LedgerEntry]:
    """What a ledger names, whosever it is. Raises LedgerUnreadable."""
    return _entries(_decode(config_map, "ledger {namespace}/{name}".format(**config_map["metadata"])))


def _config_map(ledger: Ledger) -> dict[str, Any]:
    entries = [_Entry(*oid, e.version, e.digest, e.fingerprint, e.uid) for oid, e in sorted(ledger.entries.items())]
    head = (FORMAT, str(ledger.ref), ledger.hub_id, ledger.fence, ledger.applied)
    document = _Document(*head, entries, ledger.held, ledger.left)
    packed = gzip.compress(msgspec.json.encode(document), compresslevel=6, mtime=0)
    if len(packed) > MAX_BYTES:
        raise LedgerUnreadable(f"{ledger.ref} has {len(entries)} objects, more than a ledger holds; split it")
    metadata: dict[str, Any] = {
        "name": ledger.name,
        "namespace": ledger.namespace,
        "labels": {LABEL: ledger.hub_id, "app.kubernetes.io/managed-by": "fleetbeat"},
        "annotations": {REF: str(ledger.ref)},
    }
    if ledger.exists:
        metadata["resourceVersion"] = ledger.resource_version
    data = {KEY: base64.b64encode(packed).decode()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": data}


def _write(client: KubeClient, ledger: Ledger, body: dict[str, Any]) -> dict[str, Any]:
    params = {"fieldManager": "fleetbeat"}
    try:
        if ledger.exists:
            return client.update(_path(ledger), body, params, PARTIAL)
        return client.create(_path(ledger, ""), body, params, PARTIAL)
    except Conflict as error:
        raise LostLease(f"another run saved the ledger of {ledger.ref}") from error


def _create_namespace(client: KubeClient, name: str) -> None:
    try:
        namespaces.make(client, name)
    except KubeError as error:
        raise LedgerUnreadable(f"namespace {name} for ledgers cannot be created: {error.message}") from error
