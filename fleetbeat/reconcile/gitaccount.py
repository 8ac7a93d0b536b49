"""Who asks a Git server on behalf of a GitRepository: its Secrets, read from the hub and made into an account.

Owns which Secrets are read and what each is for; what stands in them is understood in `sources`. An account lives as
long as the run or sweep that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from fleetbeat.api.source import GitRepositorySpec
from fleetbeat.errors import AuthenticationFailed
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.cloudlogin import source_login
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.sources.credentials import (
    ANONYMOUS,
    Account,
    git_http_credentials,
    git_ssh_credentials,
    proxy_of,
)
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.git import githubapp, vendors
from fleetbeat.sources.git.address import is_ssh
from fleetbeat.sources.pools import usable

_VENDORS = ("aws", "azure")


class Login(NamedTuple):
    """All that an account is made of, by name."""

    namespace: str
    secret: str = ""
    proxy: str = ""
    provider: str = "generic"
    ssh: bool = False
    url: str = ""
    """With a provider that logs in to one repository."""
    account: str = ""
    """The service account that is known to the provider; without it, the worker's own identity serves."""

    @classmethod
    def of(cls, namespace: str, spec: GitRepositorySpec, url: str, default_account: str) -> Login:
        """That of a spec whose checked URL is `url`; `default_account` is known to a cloud where it names nobody."""
        vendor = spec.provider in _VENDORS
        return cls(
            namespace,
            spec.secret_ref.name if spec.secret_ref else "",
            spec.proxy_secret_ref.name if spec.proxy_secret_ref else "",
            spec.provider or "generic",
            is_ssh(url),
            url if vendor else "",
            (spec.service_account_name or default_account) if vendor else "",
        )

    @property
    def anonymous(self) -> bool:
        """Whether there is nothing to read."""
        return not (self.secret or self.proxy) and self.provider == "generic"


def account_of(reader: HubReader, login: Login, deadline: Deadline) -> Account:
    """The account; asks the provider for a login where there is one, so it may take until `deadline`.

    Raises AuthenticationFailed, InvalidProvider or UnsupportedProvider when a Secret or service account is missing or
    of no use.
    """
    if login.anonymous:
        return ANONYMOUS
    data = _secret(reader, login.namespace, login.secret, "secretRef")
    via = _secret(reader, login.namespace, login.proxy, "proxySecretRef")
    proxy = proxy_of(via, f"{login.namespace}/{login.proxy}") if login.proxy else None
    if login.provider in _VENDORS:
        identity = source_login(reader.client, login.namespace, login.account)
        return vendors.account_of(login.provider, login.url, proxy, identity)
    name = f"{login.namespace}/{login.secret}"
    origin = f"Secret {name} (spec.secretRef)"
    if login.provider == "github":
        app, trust = githubapp.app_of(data, name), usable(githubapp.trust_of(data, proxy), origin)
        return githubapp.account_of(app, trust, deadline)
    if login.ssh:
        return replace(git_ssh_credentials(data, name), proxy=proxy)
    return replace(usable(git_http_credentials(data, name), origin) if login.secret else ANONYMOUS, proxy=proxy)


def _secret(reader: HubReader, namespace: str, name: str, field: str) -> Mapping[str, bytes]:
    if not name:
        return {}
    try:
        return reader.secret(namespace, name)
    except NotFound as error:
        raise AuthenticationFailed(f"spec.{field}: Secret {namespace}/{name} not found") from error
