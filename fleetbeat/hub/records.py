"""From a custom resource as the API server sends it to the record that the registry keeps of it.

Total: whatever passed the CRD's schema becomes a record, and what is wrong with its spec is the run's to say. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import orjson

from fleetbeat.api.kinds import Kind
from fleetbeat.api.meta import REQUESTED_AT, parse_duration
from fleetbeat.api.refs import Ref, status_of
from fleetbeat.api.suspension import is_suspended
from fleetbeat.errors import InvalidSpec
from fleetbeat.kube.reach import Reach
from fleetbeat.state.records import Record
from fleetbeat.state.shards import SOURCE, shard_of

DEFAULT_INTERVALS = {"Kustomization": 300.0, "HelmRepository": 60.0, "ArtifactGenerator": 3600.0}
"""Seconds, for kinds whose interval may be absent."""
DEFAULT_INTERVAL = 600.0
SHORTEST_INTERVAL = 1.0
"""Seconds; `interval: 1ms` is not a licence to occupy a worker."""
_DROPPED = ("managedFields", "resourceVersion")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_PASSWORD = re.compile(r"//([^/@:\s]*):[^/\s]*@")
_PRIVATE = re.compile(r"//[^/@\s]*@|\?\S*")

Object = Mapping[str, Any]


def record_of(kind: Kind, obj: Object) -> Record:
    """The record of one custom resource; `obj` may lack apiVersion and kind, as items of a list do."""
    meta, spec = obj["metadata"], _mapping(obj.get("spec"))
    ref = Ref(kind.name, meta["namespace"], meta["name"])
    reach = reach_of(ref, spec)
    status, shard = obj.get("status"), shard_of(kind.name, reach.cluster)
    return Record(
        shard=shard,
        ref=str(ref),
        uid=meta["uid"],
        rv=meta["resourceVersion"],
        generation=int(meta.get("generation") or 0),
        every_ms=int(interval_of(kind, spec) * 1000),
        cluster=reach.cluster,
        obj=orjson.dumps(_slim(kind, obj)),
        status=orjson.dumps(status) if status else None,
        targets=tuple(dict.fromkeys(targets_of(ref, spec))),
        requested=(meta.get("annotations") or {}).get(REQUESTED_AT, ""),
        suspended=is_suspended(kind.name, obj),
        deleting=bool(meta.get("deletionTimestamp")),
        reach=reach.encode(),
        group=_upstream(kind, spec) if shard == SOURCE else "",
    )


def _upstream(kind: Kind, spec: Object) -> str:
    """A short digest of what a source reads, without accounts: sources of one server's answer come due together."""
    place = "".join(str(spec.get(field) or "") + " " for field in ("url", "endpoint", "bucketName"))
    return sha256(f"{kind.name} {_PRIVATE.sub('//', place)}".encode()).hexdigest()[:8]


def is_static(kind: Kind, obj: Object) -> bool:
    """Whether nothing is done for the resource itself: a HelmRepository of type oci, which only HelmCharts read."""
    return kind.name == "HelmRepository" and _mapping(obj.get("spec")).get("type") == "oci"


def reach_of(ref: Ref, spec: Object) -> Reach:
    """The cluster that a resource's objects live on."""
    return Reach.of_spec(ref.namespace, spec)


def interval_of(kind: Kind, spec: Object) -> float:
    """Seconds between runs."""
    try:
        return max(parse_duration(spec.get("interval") or ""), SHORTEST_INTERVAL)
    except (InvalidSpec, TypeError):
        return DEFAULT_INTERVALS.get(kind.name, DEFAULT_INTERVAL)


def targets_of(ref: Ref, spec: Object) -> Iterator[str]:
    """`Kind/namespace/name` of everything whose change should wake the resource."""
    source = _mapping(spec.get("sourceRef"))
    if source.get("kind") and source.get("name"):
        yield f"{source['kind']}/{source.get('namespace') or ref.namespace}/{source['name']}"
    for entry in _mappings(spec.get("dependsOn")):
        dependency = Ref(entry.get("kind") or ref.kind, entry.get("namespace") or ref.namespace, entry.get("name", ""))
        yield str(dependency)
        if entry.get("readyExpr"):
            yield status_of(dependency)
    for entry in _mappings(spec.get("include")):
        yield f"GitRepository/{ref.namespace}/{_mapping(entry.get('repository')).get('name')}"
    for entry in _mappings(spec.get("sources")):
        if entry.get("kind") and entry.get("name"):
            yield f"{entry['kind']}/{entry.get('namespace') or ref.namespace}/{entry['name']}"
    for kind, name in _configs(spec):
        if name:
            yield f"{kind}/{ref.namespace}/{name}"


def _configs(spec: Object) -> Iterator[tuple[str, str | None]]:
    """The Secrets and ConfigMaps that a spec names; all are in the resource's own namespace."""
    for holder in (spec, *(_mapping(spec.get(field)) for field in ("verify", "decryption", "kubeConfig", "sts"))):
        for field in ("secretRef", "certSecretRef", "proxySecretRef", "trustedRootSecretRef"):
            yield "Secret", _mapping(holder.get(field)).get("name")
        yield "ConfigMap", _mapping(holder.get("configMapRef")).get("name")
    for entry in _mappings(_mapping(spec.get("postBuild")).get("substituteFrom")):
        if entry.get("kind") in ("Secret", "ConfigMap"):
            yield entry["kind"], entry.get("name")


def _slim(kind: Kind, obj: Object) -> dict[str, Any]:
    """Without what no run reads, so that it stays equal while only the status moves."""
    meta = {key: value for key, value in obj["metadata"].items() if key not in _DROPPED}
    annotations = meta.get("annotations")
    if annotations and _LAST_APPLIED in annotations:
        meta["annotations"] = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
    spec = obj.get("spec") or {}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, "spec": _without_password(spec)}


def _without_password(spec: Any) -> Any:
    """A URL with a password is refused by every run; Redis need not know which one it was."""
    url = spec.get("url") if isinstance(spec, Mapping) else None
    if not isinstance(url, str) or not _PASSWORD.search(url):
        return spec
    return {**spec, "url": _PASSWORD.sub(r"//\1:***@", url)}


def _mapping(value: Any) -> Object:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> Iterator[Object]:
    yield from (entry for entry in value if isinstance(entry, Mapping)) if isinstance(value, list) else ()
