"""From a HelmRepository on the hub to a repository that charts can be found in, as that HelmRepository's account.

Owns which Secrets are read for whom: those that the HelmRepository names, from its own namespace, for one run. What a
chart's dependencies may use is the account of a HelmRepository of the chart's namespace with their URL, else none.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import LocalRef, parse_duration
from fleetbeat.api.refs import Ref
from fleetbeat.api.source import HelmRepositorySpec
from fleetbeat.errors import (
    AuthenticationFailed,
    ChartPullFailed,
    IndexNotFetched,
    InvalidSpec,
    InvalidURL,
    SourceUnavailable,
)
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.consumed import artifact_file
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.ociaccess import access_of
from fleetbeat.sources.credentials import ANONYMOUS, HttpCredentials
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.helm.account import http_account, plain_login, trusting
from fleetbeat.sources.helm.fetch import fetch_index
from fleetbeat.sources.helm.http import ChartServer
from fleetbeat.sources.helm.repositories import ChartRepository, IndexedRepository, RegistryRepository
from fleetbeat.sources.oci.login import Access, Login
from fleetbeat.sources.oci.manifest import Manifest
from fleetbeat.sources.oci.reference import Repository
from fleetbeat.sources.oci.registry import Registry
from fleetbeat.sources.pools import usable

HELM_REPOSITORY = "HelmRepository"
TIMEOUT = "60s"
Verify = Callable[[Registry, Manifest], None]


@dataclass(frozen=True)
class HelmAccess:
    """The HelmRepositories of one namespace, for one run."""

    ctx: Context
    namespace: str

    def spec(self, name: str) -> HelmRepositorySpec:
        """The spec of a HelmRepository: from the registry, else (type oci is never there) from the hub."""
        ref = Ref(HELM_REPOSITORY, self.namespace, name)
        known = self.ctx.state.look(str(ref))
        if known is not None:
            return _decoded(msgspec.json.decode(known.obj))
        try:
            return _decoded(self.ctx.hub.get(KINDS[HELM_REPOSITORY].path(self.namespace, name)))
        except NotFound as error:
            raise SourceUnavailable(f"spec.sourceRef: {ref} not found") from error

    def account(self, spec: HelmRepositorySpec) -> HttpCredentials:
        """How to log in to an HTTP(S) repository, and whom to trust."""
        account = ANONYMOUS
        if spec.secret_ref is not None:
            data, name = self._secret("secretRef", spec.secret_ref.name)
            account = usable(http_account(data, name), f"Secret {name} (spec.secretRef of the HelmRepository)")
        return self._trusting(spec, account)

    def indexed(self, spec: HelmRepositorySpec, index: Path) -> IndexedRepository:
        """A repository whose index is there already; raises InvalidURL."""
        return IndexedRepository(self.server(spec, Deadline.after(seconds_of(spec), ChartPullFailed)), index)

    def server(self, spec: HelmRepositorySpec, deadline: Deadline) -> ChartServer:
        """The server of a repository of the default type; raises InvalidURL."""
        if spec.url.startswith("oci://"):
            raise InvalidURL(f"spec.url {spec.url!r} is that of a registry: set spec.type: oci")
        return ChartServer.of(spec.url, self.account(spec), deadline, pass_credentials=spec.pass_credentials)

    def registry(self, spec: HelmRepositorySpec, verify: Verify | None = None) -> RegistryRepository:
        """A repository of type oci."""
        if not spec.url.startswith("oci://"):
            raise InvalidSpec(f"spec.url {spec.url!r} must begin with oci://, because spec.type is oci")

        def access(place: Repository) -> Access:
            login = self._plain_login(spec)
            as_registry = _AsRegistry.of(spec, with_secret=not login)
            found = access_of(self.ctx, self.namespace, as_registry, place, deadline)
            return replace(found, login=login) if login else found

        deadline = Deadline.after(seconds_of(spec), ChartPullFailed)
        return RegistryRepository(spec.url, access, deadline, verify)

    def _plain_login(self, spec: HelmRepositorySpec) -> Login | None:
        """The account in a Secret of `username` and `password`; None in one with a Docker configuration."""
        if spec.secret_ref is None:
            return None
        data, name = self._secret("secretRef", spec.secret_ref.name)
        return plain_login(data, name)

    def _trusting(self, spec: HelmRepositorySpec, account: HttpCredentials) -> HttpCredentials:
        if spec.cert_secret_ref is None:
            return account
        data, name = self._secret("certSecretRef", spec.cert_secret_ref.name)
        return usable(trusting(account, data, name), f"Secret {name} (spec.certSecretRef of the HelmRepository)")

    def _secret(self, field: str, name: str) -> tuple[dict[str, bytes], str]:
        full = f"{self.namespace}/{name}"
        try:
            return self.ctx.targets.reader.secret(self.namespace, name), full
        except NotFound as error:
            raise AuthenticationFailed(f"spec.{field} of the HelmRepository: Secret {full} not found") from error


@dataclass(frozen=True)
class _AsRegistry:
    """A HelmRepository of type oci with the fields that other users of registries have."""

    secret_ref: LocalRef | None
    cert_secret_ref: LocalRef | None
    insecure: bool
    provider: str
    proxy_secret_ref: LocalRef | None = None
    service_account_name: str | None = None

    @classmethod
    def of(cls, spec: HelmRepositorySpec, *, with_secret: bool) -> _AsRegistry:
        provider = spec.provider if with_secret else "generic"
        return cls(spec.secret_ref if with_secret else None, spec.cert_secret_ref, spec.insecure, provider)


class Dependencies:
    """The repositories that a chart's dependencies name, found by URL; a context manager for what it downloads."""

    def __init__(self, access: HelmAccess) -> None:
        self._access = access
        self._scratch = Path(tempfile.mkdtemp(dir=access.ctx.directory("helm")))
        self._found: dict[str, ChartRepository] = {}

    def __enter__(self) -> Dependencies:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __call__(self, url: str) -> ChartRepository:
        """The repository at `url`, with the account of a HelmRepository of the namespace that has that URL."""
        place = url.rstrip("/")
        if place not in self._found:
            self._found[place] = self._open(place)
        return self._found[place]

    def _open(self, url: str) -> ChartRepository:
        name, spec = self._known.get(url) or ("", HelmRepositorySpec(url=url))
        if url.startswith("oci://"):
            return self._access.registry(spec)
        index = self._stored(name) if name else None
        return self._access.indexed(spec, index or self._downloaded(spec))

    def _stored(self, name: str) -> Path | None:
        """The index that the HelmRepository published, which saves a download."""
        ctx = self._access.ctx
        record = ctx.state.artifact(str(Ref(HELM_REPOSITORY, self._access.namespace, name)))
        if record is None:
            return None
        artifact = msgspec.json.decode(record)
        return artifact_file(ctx, artifact)

    def _downloaded(self, spec: HelmRepositorySpec) -> Path:
        deadline = Deadline.after(seconds_of(spec), IndexNotFetched)
        found = fetch_index(self._access.server(spec, deadline), None, "", self._scratch)
        path = self._scratch / f"{len(self._found)}.json"
        if found.archive is not None:
            with path.open("wb") as file:
                shutil.copyfileobj(found.archive.file, file)
            found.archive.close()
        return path

    @cached_property
    def _known(self) -> Mapping[str, tuple[str, HelmRepositorySpec]]:
        """URL → name and spec of the HelmRepositories of the namespace."""
        access = self._access
        try:
            items = access.ctx.hub.list(KINDS[HELM_REPOSITORY].path(access.namespace)).get("items") or []
        except NotFound:
            return {}  # the hub does not have the kind
        specs = ((item["metadata"]["name"], _decoded(item)) for item in items)
        return {
            spec.url.rstrip("/"): (name, spec) for name, spec in sorted(specs, key=lambda pair: pair[0], reverse=True)
        }


def place_of(spec: HelmRepositorySpec | None, chart: str) -> Repository:
    """The repository of a registry that holds a chart of a HelmRepository of type oci; raises InvalidURL."""
    return Repository.parse(f"{spec.url.rstrip('/') if spec else ''}/{chart}", "spec.url and spec.chart")


def seconds_of(spec: HelmRepositorySpec) -> float:
    """How long one operation on the repository may take."""
    return parse_duration(spec.timeout or TIMEOUT)


def _decoded(obj: Mapping[str, Any]) -> HelmRepositorySpec:
    spec: HelmRepositorySpec = decode_spec(KINDS[HELM_REPOSITORY], obj)
    return spec
