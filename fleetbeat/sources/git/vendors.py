"""Logins to AWS CodeCommit and Azure DevOps, by an identity at the vendor and through the vendors' own SDKs.

Owns which hosts belong to which provider: an identity, the worker's own or that of a service account, is shown to no
other, whatever a spec's URL says; and that the worker's own never stands in for a service account's. What is shown is
short-lived (a signature, a token) and kept in memory only. azure-identity is an extra.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from time import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fleetbeat import clouds
from fleetbeat.errors import AuthenticationFailed, FleetbeatError, UnsupportedProvider
from fleetbeat.sources.credentials import HttpCredentials, Proxy
from fleetbeat.sources.tokens import MARGIN, TOKENS, Held, Tokens

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials
    from botocore.session import Session

_HOSTS = {
    "aws": re.compile(r"git-codecommit(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"),
    "azure": re.compile(r"dev\.azure\.com|[a-z0-9-]+\.visualstudio\.com"),
}
_AZURE_SCOPE = "499b84ac-1321-427f-aa17-267ca6975798/.default"
"""Azure DevOps, in every tenant."""
_SIGNATURE_SECONDS = 120.0
"""One signature serves that long; CodeCommit takes it for several times as long."""
_roles: Tokens[ReadOnlyCredentials] = Tokens()
"""Keys of AWS by service account and region: they sign for many repositories."""


def check(provider: str, url: str) -> None:
    """Raises UnsupportedProvider where an identity must not go: to others, or unencrypted."""
    parts = urlsplit(url)
    served = _HOSTS[provider].fullmatch(parts.hostname or "") and parts.scheme == "https"
    if not served or parts.port not in (None, 443):
        raise UnsupportedProvider(f"spec.provider {provider} does not serve {url}")


def account_of(provider: str, url: str, proxy: Proxy | None, login: clouds.Login | None = None) -> HttpCredentials:
    """The account for `url` of `login`, else of the worker itself.

    Raises UnsupportedProvider, or AuthenticationFailed without an identity, besides what `login` raises.
    """
    check(provider, url)
    who = "" if login is None else login.who()
    make, what = (_aws, f"aws {url}") if provider == "aws" else (_azure, "azure")
    bare = HttpCredentials(proxy=proxy, identity=f"{what} {who}" if login else what)
    return TOKENS.get(bare.fingerprint, partial(_ask, provider, login, partial(make, url, bare, login, who)))


def _ask(provider: str, login: clouds.Login | None, make: partial[Held[HttpCredentials]]) -> Held[HttpCredentials]:
    try:
        return make()
    except FleetbeatError:
        raise
    except ImportError as error:
        raise UnsupportedProvider(
            f"spec.provider {provider} needs a package that is not installed: pip install 'fleetbeat[{provider}]'"
        ) from error
    except Exception as error:  # each SDK has its own; their texts may quote what a server answered
        raise AuthenticationFailed(clouds.no_login(provider, login, error)) from error


def _aws(url: str, bare: HttpCredentials, login: clouds.Login | None, who: str) -> Held[HttpCredentials]:
    identity = _own_keys() if login is None else _role_keys(_region(url), login, who)
    name = f"{identity.access_key}%{identity.token}" if identity.token else identity.access_key
    password = signature(url, identity, datetime.now(UTC))
    return Held(replace(bare, username=name, password=password), time() + MARGIN + _SIGNATURE_SECONDS)


def signature(url: str, identity: ReadOnlyCredentials, now: datetime) -> str:
    """CodeCommit's password for `url`: Signature Version 4 of the request `GIT <path>` to its host."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    parts = urlsplit(url)
    request = AWSRequest(method="GIT", url=f"https://{parts.hostname}{parts.path}")
    request.context["timestamp"] = now.strftime("%Y%m%dT%H%M%S")
    signer = SigV4Auth(identity, "codecommit", _region(url))
    text = signer.string_to_sign(request, f"GIT\n{parts.path}\n\nhost:{parts.hostname}\n\nhost\n")
    return f"{request.context['timestamp']}Z{signer.signature(text, request)}"


def _region(url: str) -> str:
    found = _HOSTS["aws"].fullmatch(urlsplit(url).hostname or "")
    if found is None:
        raise AssertionError("check runs first")
    return found["region"]


def _own_keys() -> ReadOnlyCredentials:
    found = _session().get_credentials()
    if found is None:
        raise AuthenticationFailed(
            "spec.provider aws: this worker has no own identity; give the source role's Pods one"
        )
    return found.get_frozen_credentials()


def _role_keys(region: str, login: clouds.Login, who: str) -> ReadOnlyCredentials:
    def take_on() -> Held[ReadOnlyCredentials]:
        ends = time() + clouds.AWS_ROLE_SECONDS
        return Held(login.aws(region).get_credentials().get_frozen_credentials(), ends)

    return _roles.get(f"{who} {region}", take_on)


@cache
def _session() -> Session:
    """One for the process: it renews what it found (environment, web identity, container, instance)."""
    from botocore.config import Config
    from botocore.session import get_session

    made = get_session()
    made.set_default_client_config(Config(**clouds.AWS_LIMITS))
    return made


def _azure(url: str, bare: HttpCredentials, login: clouds.Login | None, who: str) -> Held[HttpCredentials]:
    token = clouds.azure(_AZURE_SCOPE, login.azure() if login else None)
    return Held(replace(bare, bearer_token=token.value), token.until)
