"""Which kinds a cluster serves and under which paths: aggregated discovery, two requests, cached per cluster.

Owns kind → path. A kind that is not found makes it look again: at everything once every few seconds at most, else at
its group and version alone. So "not found" is never an old answer.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from time import monotonic

import msgspec

from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import NoMatch, NotFound, ServerError

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
RELOAD_AFTER = 3.0
"""Seconds between looks at everything that missing kinds may cause."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind in one version, as the API server serves it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """`/apis/apps/v1/namespaces/ns/deployments/name`; without namespace the collection over all namespaces."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{base}{scope}/{self.plural}{tail}"


class _Kind(msgspec.Struct, frozen=True):
    kind: str = ""


class _Served(msgspec.Struct, frozen=True):
    resource: str
    responseKind: _Kind = _Kind()
    scope: str = "Namespaced"
    verbs: list[str] = []


class _Version(msgspec.Struct, frozen=True):
    version: str
    resources: list[_Served] = []
    freshness: str = "Current"


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""


class _Group(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()
    versions: list[_Version] = []


class _Groups(msgspec.Struct, frozen=True):
    items: list[_Group] = []


class _Listed(msgspec.Struct, frozen=True):
    name: str
    kind: str
    namespaced: bool = False


class _ResourceList(msgspec.Struct, frozen=True):
    resources: list[_Listed] = []


_list_decoder = msgspec.json.Decoder(_ResourceList)
_decoder = msgspec.json.Decoder(_Groups)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    resources: dict[tuple[str, str, str], Resource]
    preferred: dict[tuple[str, str], Resource]
    stale: frozenset[str]
    """Groups whose API server did not answer: what is missing there may exist."""


class Discovery:
    """The kinds of one cluster. Thread-safe, lazily loaded, shared between runs."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._snapshot: _Snapshot | None = None
        self._loaded = 0.0

    def resource(self, group: str, version: str, kind: str) -> Resource:
        """The resource of a kind; with version "" the group's preferred one. Raises NoMatch."""
        looks = (self._current, self._reloaded, lambda: self._with_version(group, version))
        found = next((found for look in looks if (found := self._find(look(), group, version, kind))), None)
        if found is None:
            api_version = "/".join(part for part in (group, version) if part)
            raise NoMatch(f'no matches for kind "{kind}" in version "{api_version}"', status_reason="NoMatch")
        return found

    def certain(self, group: str) -> bool:
        """True when the last answer about `group` was complete: a kind missing from it does not exist."""
        return group not in self._current().stale

    def refresh(self) -> None:
        """Look again now: a CRD was just applied or removed."""
        with self._lock:
            self._load()

    @staticmethod
    def _find(snapshot: _Snapshot, group: str, version: str, kind: str) -> Resource | None:
        if version:
            return snapshot.resources.get((group, version, kind))
        return snapshot.preferred.get((group, kind))

    def _current(self) -> _Snapshot:
        return self._snapshot or self._reloaded()

    def _reloaded(self) -> _Snapshot:
        with self._lock:
            if self._snapshot is None or monotonic() - self._loaded >= RELOAD_AFTER:
                self._load()
            assert self._snapshot is not None  # noqa: S101 - _load sets it or raises
            return self._snapshot

    def _with_version(self, group: str, version: str) -> _Snapshot:
        """The snapshot with what the server says now of one version; a server that fails has said nothing."""
        with self._lock:
            assert self._snapshot is not None  # noqa: S101 - the looks before this one have set it
            known = self._snapshot
            try:
                listed = self._list_version(group, version) if version else []
            except (NotFound, ServerError):
                return known
            added = {(group, version, found.kind): found for found in listed}
            self._snapshot = replace(known, resources=added | known.resources)
            return self._snapshot

    def _list_version(self, group: str, version: str) -> list[Resource]:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        listed = _list_decoder.decode(self._client.request("GET", path)).resources
        return [Resource(group, version, r.kind, r.name, r.namespaced) for r in listed if "/" not in r.name]

    def _load(self) -> None:
        groups = [group for path in ("/api", "/apis") for group in self._fetch(path)]
        resources: dict[tuple[str, str, str], Resource] = {}
        preferred: dict[tuple[str, str], Resource] = {}
        for group in groups:
            name = group.metadata.name
            for version in group.versions:  # in the server's order of preference
                for served in version.resources:
                    kind = served.responseKind.kind
                    found = Resource(name, version.version, kind, served.resource, served.scope == "Namespaced")
                    resources.setdefault((name, version.version, kind), found)
                    preferred.setdefault((name, kind), found)
        stale = frozenset(g.metadata.name for g in groups for v in g.versions if v.freshness == "Stale")
        self._snapshot = _Snapshot(resources, preferred, stale)
        self._loaded = monotonic()

    def _fetch(self, path: str) -> list[_Group]:
        return _decoder.decode(self._client.request("GET", path, accept=ACCEPT)).items
