"""Logins to the registries of clouds, by the identity of the worker itself and through the vendors' own SDKs.

Owns which hosts belong to which provider: the worker's identity is shown to no other, whatever a spec's URL says.
Logins are kept in memory until shortly before their end. google-auth and azure-identity are extras.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import time
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
_MARGIN = 300.0
"""Seconds before its end from which on a login is not used any more."""
_TOKEN_BYTES = 1024 * 1024


class _Exchanged(msgspec.Struct, frozen=True):
    refresh_token: str = ""


_EXCHANGED = msgspec.json.Decoder(_Exchanged)


@dataclass(frozen=True)
class _Held:
    login: Login
    until: float
    """Unix seconds."""


_held: dict[tuple[str, str], _Held] = {}
_lock = threading.Lock()


def check(provider: str, repository: Repository, access: Access) -> None:
    """Raises UnsupportedProvider where the worker's identity must not go: to others, or unencrypted."""
    served = _HOSTS[provider].fullmatch(repository.host) or (provider, repository.host) == ("aws", _PUBLIC_ECR)
    if not served:
        raise UnsupportedProvider(f"spec.provider {provider} does not serve the registry {repository.host}")
    if access.insecure or access.trust.ca or access.trust.certificate:
        raise UnsupportedProvider(
            f"spec.provider {provider} excludes spec.insecure and spec.certSecretRef: the worker's own identity goes to"
            " the provider's servers alone"
        )


def login(provider: str, repository: Repository, access: Access, deadline: Deadline) -> Login:
    """The worker's account at the registry. Raises UnsupportedProvider, or AuthenticationFailed without an identity."""
    check(provider, repository, access)
    slot = provider, repository.host
    with _lock:
        held = _held.get(slot)
        if held is None or held.until <= time():
            held = _held[slot] = _ask(provider, repository, access, deadline)
    return held.login


def _ask(provider: str, repository: Repository, access: Access, deadline: Deadline) -> _Held:
    try:
        if provider == "aws":
            return _aws(repository.host)
        if provider == "gcp":
            return _gcp()
        return _azure(repository.host, Wire(repository.host, Access(NOBODY, access.trust), deadline))
    except FleetbeatError:
        raise
    except ImportError as error:
        raise UnsupportedProvider(
            f"spec.provider {provider} needs a package that is not installed: pip install 'fleetbeat[{provider}]'"
        ) from error
    except Exception as error:  # each SDK has its own; their texts may quote what a server answered
        raise AuthenticationFailed(
            f"spec.provider {provider}: the worker's own identity gives no login ({type(error).__name__}); check the"
            " identity of the source role's Pods"
        ) from error


def _aws(host: str) -> _Held:
    from botocore.config import Config

    config = Config(**clouds.AWS_LIMITS)
    public = host == _PUBLIC_ECR
    region = "us-east-1" if public else str(_matched("aws", host)["region"])
    client: Any = session().create_client("ecr-public" if public else "ecr", region_name=region, config=config)
    try:
        found = client.get_authorization_token()["authorizationData"]
    finally:
        client.close()
    data = found if public else found[0]
    name, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    return _Held(Login(name, password), data["expiresAt"].timestamp() - _MARGIN)


def _gcp() -> _Held:
    token = clouds.google((_GOOGLE_SCOPE,))
    return _Held(Login("oauth2accesstoken", token.value), token.until - _MARGIN)


def _azure(host: str, wire: Wire) -> _Held:
    token = clouds.azure(_AZURE_SCOPES[str(_matched("azure", host)["cloud"])])
    return _Held(exchange(wire, host, token.value), token.until - _MARGIN)


def exchange(wire: Wire, host: str, token: str) -> Login:
    """A token of Microsoft Entra for an identity token of the registry."""
    fields = {"grant_type": "access_token", "service": host, "access_token": token}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    _, response = wire.send("POST", "/oauth2/exchange", kind, urlencode(fields).encode())
    if response.status != 200:
        raise wire.refuse(response, f"{host}: the exchange of the worker's identity")
    try:
        found = _EXCHANGED.decode(wire.read(response, _TOKEN_BYTES, host)).refresh_token
    except msgspec.DecodeError:
        found = ""
    if not found:
        raise AuthenticationFailed(f"{host}: the registry gave no token for the worker's identity")
    return Login(identity_token=found)


def _matched(provider: str, host: str) -> re.Match[str]:
    found = _HOSTS[provider].fullmatch(host)
    if found is None:
        raise AssertionError("check runs first")
    return found


Ask = Callable[[str, Repository, Access, Deadline], Login]
"""The shape of `login`."""
