"""The vendors' own SDKs: how long they may take, and short-lived tokens of Google and Microsoft.

Owns which identities a worker may have: never the login of a person's tools. Knows no host that a token is shown to:
that is for callers to check. google-auth and azure-identity are extras, imported when needed; an SDK's errors come as
they are, and their texts may quote what a server answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from time import time
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

if TYPE_CHECKING:
    from urllib3 import PoolManager

_CONNECT_SECONDS, _READ_SECONDS = 5, 10
"""Of one request to a vendor."""
AZURE_LIMITS: dict[str, Any] = {"connection_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS, "retry_total": 1}
"""For every credential of azure-identity."""
AWS_LIMITS: dict[str, Any] = {
    "connect_timeout": _CONNECT_SECONDS,
    "read_timeout": _READ_SECONDS,
    "retries": {"total_max_attempts": 2},
}
"""For every Config of botocore."""
AWS_ROLE_SECONDS = 3600
"""How long a role is taken on for."""
_PEOPLE = ("cli", "powershell", "developer_cli", "shared_token_cache", "visual_studio_code", "broker")
_MOST_BYTES = 8 << 20
"""Of one answer."""
_SHORTEST = 600.0
"""Seconds that a token is believed to live whose end nobody tells."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and its end in Unix seconds."""

    value: str
    until: float

    def __repr__(self) -> str:
        return f"Token(until={self.until:.0f})"


class Login(Protocol):
    """An identity at the vendors that is not the worker's own. Each of these raises where it has none."""

    def who(self) -> str:
        """Whose it is: equal for nobody else, and as long only as it means the same; nothing secret."""

    def aws(self, region: str) -> Any:
        """botocore's session."""

    def azure(self) -> Any:
        """azure-identity's credential, to be closed."""

    def google(self, scopes: Sequence[str]) -> Any:
        """google-auth's credentials."""


def no_login(provider: str, login: Login | None, error: Exception) -> str:
    """For people: that `login`, or the worker's own identity, is of no use; the error's own text stays out."""
    whose, advice = ("worker's own identity", "check the identity of the source role's Pods")
    if login is not None:
        whose, advice = "service account's identity", "check its annotations, and what the vendor lets it be"
    return f"spec.provider {provider}: the {whose} gives no login ({type(error).__name__}); {advice}"


def aws_client(session: Any, service: str, region: str, **options: Any) -> Any:
    """A client of botocore's session, with our limits; options: more of its Config."""
    from botocore.config import Config

    return session.create_client(service, region_name=region, config=Config(**AWS_LIMITS, **options))


def google(scopes: Sequence[str], credentials: Any = None) -> Token:
    """A token of `credentials` (of google-auth), or of the worker's own identity."""
    import google.auth
    from google.auth.transport.urllib3 import Request

    asked = credentials or google.auth.default(scopes=list(scopes))[0]
    with _pool() as pool:
        asked.refresh(cast(Any, Request)(pool))
    return Token(str(asked.token), asked.expiry.replace(tzinfo=UTC).timestamp() if asked.expiry else time() + _SHORTEST)


def azure(scope: str, credential: Any = None) -> Token:
    """A token of `credential` (of azure-identity, closed here), or of the worker's own identity."""
    from azure.identity import DefaultAzureCredential

    own = {f"exclude_{tool}_credential": True for tool in _PEOPLE}
    with credential or DefaultAzureCredential(**own, **AZURE_LIMITS) as asked:
        found = asked.get_token(scope)
    return Token(str(found.token), float(found.expires_on))


def ask(method: Literal["GET", "POST"], url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Status and body of one request to a vendor's API that needs no SDK; follows no redirect.

    Raises urllib3's HTTPError when nobody answers.
    """
    with _pool() as pool:
        answer = pool.request(method, url, headers=headers, redirect=False, retries=1, preload_content=False)
        return answer.status, answer.read(_MOST_BYTES)


def _pool() -> PoolManager:
    from urllib3 import PoolManager, Timeout

    return PoolManager(timeout=Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS))
