"""Logins to the registries of clouds, by an identity at the vendor and through the vendors' own SDKs.

Owns which hosts belong to which provider: an identity, the worker's own or that of a service account, is shown to no
other, whatever a spec's URL says; and that the worker's own never stands in for a service account's. Logins are kept in
memory until shortly before their end. google-auth and azure-identity are extras.
"""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import msgspec

from fleetbeat import clouds
from fleetbeat.artifacts.store import session
from fleetbeat.errors import AuthenticationFailed, FleetbeatError, UnsupportedProvider
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.login import NOBODY, Access, Login
from fleetbeat.sources.oci.reference import Repository
from fleetbeat.sources.oci.wire import Wire
from fleetbeat.sources.tokens import Held, Tokens

_HOSTS = {
    "aws": re.compile(r"\d{12}\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)"),
    "gcp": re.compile(r"(?:[a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev"),
    "azure": re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)?\.azurecr\.(?P<cloud>io|cn|us)"),
}
_PUBLIC_ECR = "public.ecr.aws"
_GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_AZURE_SCOPES = {
    "io": "https://management.azure.com/.default",
    "cn": "https://management.chinacloudapi.cn/.default",
    "us": "https://management.usgovcloudapi.net/.default",
}
_TOKEN_BYTES = 1024 * 1024


class _Exchanged(msgspec.Struct, frozen=True):
    refresh_token: str = ""


_EXCHANGED = msgspec.json.Decoder(_Exchanged)


_held: Tokens[Login] = Tokens()
"""By provider, host and whose they are."""


def check(provider: str, repository: Repository, access: Access) -> None:
    """Raises UnsupportedProvider where an identity must not go: to others, or unencrypted."""
    served = _HOSTS[provider].fullmatch(repository.host) or (provider, repository.host) == ("aws", _PUBLIC_ECR)
    if not served:
        raise UnsupportedProvider(f"spec.provider {provider} does not serve the registry {repository.host}")
    if access.insecure or access.trust.ca or access.trust.certificate:
        raise UnsupportedProvider(
            f"spec.provider {provider} excludes spec.insecure and spec.certSecretRef: the identity goes to the"
            " provider's servers alone"
        )


def login(
    provider: str, repository: Repository, access: Access, deadline: Deadline, identity: clouds.Login | None = None
) -> Login:
    """The account at the registry of `identity`, else of the worker itself.

    Raises UnsupportedProvider, or AuthenticationFailed without an identity, besides what `identity` raises.
    """
    check(provider, repository, access)
    who = identity.who() if identity else ""
    found = _held.get(
        f"{provider} {repository.host} {who}", partial(_ask, provider, repository, access, deadline, identity)
    )
    return replace(found, whose=who)


def _ask(
    provider: str, repository: Repository, access: Access, deadline: Deadline, identity: clouds.Login | None
) -> Held[Login]:
    try:
        if provider == "aws":
            return _aws(repository.host, identity)
        if provider == "gcp":
            return _gcp(identity)
        return _azure(repository.host, Wire(repository.host, Access(NOBODY, access.trust), deadline), identity)
    except FleetbeatError:
        raise
    except ImportError as error:
        raise UnsupportedProvider(
            f"spec.provider {provider} needs a package that is not installed: pip install 'fleetbeat[{provider}]'"
        ) from error
    except Exception as error:  # each SDK has its own; their texts may quote what a server answered
        raise AuthenticationFailed(clouds.no_login(provider, identity, error)) from error


def _aws(host: str, identity: clouds.Login | None) -> Held[Login]:
    public = host == _PUBLIC_ECR
    region = "us-east-1" if public else str(_matched("aws", host)["region"])
    asking: Any = identity.aws(region) if identity else session()
    client = clouds.aws_client(asking, "ecr-public" if public else "ecr", region)
    try:
        found = client.get_authorization_token()["authorizationData"]
    finally:
        client.close()
    data = found if public else found[0]
    name, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    return Held(Login(name, password), data["expiresAt"].timestamp())


def _gcp(identity: clouds.Login | None) -> Held[Login]:
    token = clouds.google((_GOOGLE_SCOPE,), identity.google((_GOOGLE_SCOPE,)) if identity else None)
    return Held(Login("oauth2accesstoken", token.value), token.until)


def _azure(host: str, wire: Wire, identity: clouds.Login | None) -> Held[Login]:
    scope = _AZURE_SCOPES[str(_matched("azure", host)["cloud"])]
    token = clouds.azure(scope, identity.azure() if identity else None)
    return Held(exchange(wire, host, token.value), token.until)


def exchange(wire: Wire, host: str, token: str) -> Login:
    """A token of Microsoft Entra for an identity token of the registry."""
    fields = {"grant_type": "access_token", "service": host, "access_token": token}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    _, response = wire.send("POST", "/oauth2/exchange", kind, urlencode(fields).encode())
    if response.status != 200:
        raise wire.refuse(response, f"{host}: the exchange of the identity's token")
    try:
        found = _EXCHANGED.decode(wire.read(response, _TOKEN_BYTES, host)).refresh_token
    except msgspec.DecodeError:
        found = ""
    if not found:
        raise AuthenticationFailed(f"{host}: the registry gave no token for the identity")
    return Login(identity_token=found)


def _matched(provider: str, host: str) -> re.Match[str]:
    found = _HOSTS[provider].fullmatch(host)
    if found is None:
        raise AssertionError("check runs first")
    return found
