"""Logins to AWS CodeCommit and Azure DevOps, by the identity of the worker itself and through the vendors' own SDKs.

Owns which hosts belong to which provider: the worker's identity is shown to no other, whatever a spec's URL says. What
is shown is short-lived (a signature, a token) and kept in memory only. azure-identity is an extra.
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
from fleetbeat.sources.git.tokens import MARGIN, TOKENS, Login

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


def check(provider: str, url: str) -> None:
    """Raises UnsupportedProvider where the worker's identity must not go: to others, or unencrypted."""
    parts = urlsplit(url)
    served = _HOSTS[provider].fullmatch(parts.hostname or "") and parts.scheme == "https"
    if not served or parts.port not in (None, 443):
        raise UnsupportedProvider(f"spec.provider {provider} does not serve {url}")


def account_of(provider: str, url: str, proxy: Proxy | None) -> HttpCredentials:
    """The worker's account for `url`. Raises UnsupportedProvider, or AuthenticationFailed without an identity."""
    check(provider, url)
    make, identity = (_aws, f"aws {url}") if provider == "aws" else (_azure, "azure")
    bare = HttpCredentials(proxy=proxy, identity=identity)
    return TOKENS.get(bare.fingerprint, partial(_ask, provider, partial(make, url, bare)))


def _ask(provider: str, make: partial[Login]) -> Login:
    try:
        return make()
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


def _aws(url: str, bare: HttpCredentials) -> Login:
    found = _session().get_credentials()
    if found is None:
        raise AuthenticationFailed(
            "spec.provider aws: this worker has no own identity; give the source role's Pods one"
        )
    identity = found.get_frozen_credentials()
    name = f"{identity.access_key}%{identity.token}" if identity.token else identity.access_key
    password = signature(url, identity, datetime.now(UTC))
    return Login(replace(bare, username=name, password=password), time() + MARGIN + _SIGNATURE_SECONDS)


def signature(url: str, identity: ReadOnlyCredentials, now: datetime) -> str:
    """CodeCommit's password for `url`: Signature Version 4 of the request `GIT <path>` to its host."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    parts = urlsplit(url)
    found = _HOSTS["aws"].fullmatch(parts.hostname or "")
    if found is None:
        raise AssertionError("check runs first")
    request = AWSRequest(method="GIT", url=f"https://{parts.hostname}{parts.path}")
    request.context["timestamp"] = now.strftime("%Y%m%dT%H%M%S")
    signer = SigV4Auth(identity, "codecommit", found["region"])
    text = signer.string_to_sign(request, f"GIT\n{parts.path}\n\nhost:{parts.hostname}\n\nhost\n")
    return f"{request.context['timestamp']}Z{signer.signature(text, request)}"


@cache
def _session() -> Session:
    """One for the process: it renews what it found (environment, web identity, container, instance)."""
    from botocore.config import Config
    from botocore.session import get_session

    made = get_session()
    made.set_default_client_config(Config(**clouds.AWS_LIMITS))
    return made


def _azure(url: str, bare: HttpCredentials) -> Login:
    token = clouds.azure(_AZURE_SCOPE)
    return Login(replace(bare, bearer_token=token.value), token.until)
