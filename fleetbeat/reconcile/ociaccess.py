"""Who we are to a registry: from the Secrets and service account that a spec names to an Access.

Owns the order of the places that an account may come from: `secretRef`, then the pull secrets of the service account,
then the identity of a cloud: that of the service account, or where none is named, the worker's own. For OCIRepositories
and for charts in registries alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from fleetbeat.api.meta import LocalRef
from fleetbeat.errors import AuthenticationFailed
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.cloudlogin import source_login
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.sources.bucket.access import certificates_of
from fleetbeat.sources.credentials import HttpCredentials, proxy_of
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci import vendors
from fleetbeat.sources.oci.login import Access, find_login
from fleetbeat.sources.oci.reference import Repository
from fleetbeat.sources.pools import usable


class RegistrySpec(Protocol):
    """The fields of a spec that say how to reach a registry."""

    @property
    def secret_ref(self) -> LocalRef | None: ...
    @property
    def cert_secret_ref(self) -> LocalRef | None: ...
    @property
    def proxy_secret_ref(self) -> LocalRef | None: ...
    @property
    def service_account_name(self) -> str | None: ...
    @property
    def insecure(self) -> bool: ...
    @property
    def provider(self) -> str: ...


def access_of(ctx: Context, namespace: str, spec: RegistrySpec, repository: Repository, deadline: Deadline) -> Access:
    """How `spec` reaches the registry; AuthenticationFailed when what it names is missing or of no use."""
    reader = ctx.targets.reader
    access = Access(trust=_trust(reader, namespace, spec), insecure=spec.insecure)
    names = [spec.secret_ref.name] if spec.secret_ref else []
    if spec.service_account_name:
        names += _pull_secrets(reader, namespace, spec.service_account_name)
    for name, data in _secrets(reader, namespace, spec, names):
        login = find_login(data, f"{namespace}/{name}", repository)
        if login is not None:
            return replace(access, login=login, advice=f"check the account in Secret {namespace}/{name}")
    if spec.provider != "generic" and not spec.secret_ref:
        account = spec.service_account_name or ctx.settings.default_source_service_account
        identity = source_login(reader.client, namespace, account)
        login = vendors.login(spec.provider, repository, access, deadline, identity)
        whose = f"ServiceAccount {namespace}/{account}" if account else "the worker's identity"
        return replace(access, login=login, advice=f"give {whose} at {spec.provider} the right to read it")
    if names:
        return replace(access, advice=f"no account for {repository.host} is in Secret {', '.join(names)}")
    return access


def _secrets(
    reader: HubReader, namespace: str, spec: RegistrySpec, names: list[str]
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Name and content; pull secrets of the service account that do not exist are passed over, as kubelets do."""
    for name in names:
        try:
            yield name, reader.secret(namespace, name)
        except NotFound as error:
            if spec.secret_ref is not None and name == spec.secret_ref.name:
                raise AuthenticationFailed(f"spec.secretRef: Secret {namespace}/{name} not found") from error


def _pull_secrets(reader: HubReader, namespace: str, name: str) -> list[str]:
    """The names in imagePullSecrets of a ServiceAccount."""
    try:
        account = reader.service_account(namespace, name)
    except NotFound as error:
        raise AuthenticationFailed(f"spec.serviceAccountName: ServiceAccount {namespace}/{name} not found") from error
    return [entry["name"] for entry in account.get("imagePullSecrets") or () if entry.get("name")]


def _trust(reader: HubReader, namespace: str, spec: RegistrySpec) -> HttpCredentials:
    """Authorities, client certificate and proxy."""
    trust = HttpCredentials()
    if spec.cert_secret_ref is not None:
        data, name = _named(reader, namespace, "certSecretRef", spec.cert_secret_ref.name)
        ca, certificate, key = certificates_of(data, name)
        trust = replace(trust, ca=ca, certificate=certificate, key=key)
        trust = usable(trust, f"Secret {name} (spec.certSecretRef)")
    if spec.proxy_secret_ref is not None:
        proxy = proxy_of(*_named(reader, namespace, "proxySecretRef", spec.proxy_secret_ref.name))
        trust = replace(trust, proxy=proxy)
    return trust


def _named(reader: HubReader, namespace: str, field: str, name: str) -> tuple[dict[str, bytes], str]:
    """The data of a Secret that `spec.<field>` names, and its full name."""
    try:
        return reader.secret(namespace, name), f"{namespace}/{name}"
    except NotFound as error:
        raise AuthenticationFailed(f"spec.{field}: Secret {namespace}/{name} not found") from error
