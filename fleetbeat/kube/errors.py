"""What an API server can answer instead of what was asked.

Owns the mapping from HTTP to exceptions and the sentence that a person reads. All are `Retryable`: a cluster that
refuses something today may accept it tomorrow; callers turn the few that need a person into their own classes.
No I/O here, and never a credential or an object's content in a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from fleetbeat.errors import Retryable


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of a Status' `details.causes`: which field, and what is wrong with it."""

    field: str
    reason: str
    message: str


class KubeError(Retryable):
    """The API server refused the request."""

    reason: ClassVar[str] = "ReconciliationFailed"

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int = 0,
        status_reason: str = "",
        causes: tuple[Cause, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status
        """HTTP status code; 0 when there was no answer."""
        self.status_reason = status_reason
        """The Status' machine-readable reason such as `AlreadyExists`; "" when there was none."""
        self.causes = causes


class NotFound(KubeError):
    """The object does not exist."""


class Conflict(KubeError):
    """The object was changed by somebody else, or exists already."""


class Forbidden(KubeError):
    """The account may not do this."""


class Unauthorized(KubeError):
    """The API server does not accept the credentials."""


class Invalid(KubeError):
    """The object is invalid, or the change touches an immutable field."""


class TooManyRequests(KubeError):
    """The API server is overloaded."""


class Gone(KubeError):
    """The resourceVersion is too old; list again."""


class ServerError(KubeError):
    """The API server failed."""


class Unreachable(KubeError):
    """The API server does not answer."""


class NoMatch(KubeError):
    """The cluster does not know this kind."""


class InvalidKubeconfig(KubeError):
    """The kubeconfig cannot be used."""


_BY_STATUS: Mapping[int, type[KubeError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def from_response(status: int, body: bytes, retry_after: float | None = None) -> KubeError:
    """The exception for an answer of 400 or more; `body` is a `Status` object or anything a proxy may say."""
    answer = _status_object(body)
    details = answer.get("details") or {}
    message = answer.get("message") or f"HTTP {status}: {body[:200].decode(errors='replace').strip()}"
    causes = tuple(
        Cause(c.get("field") or "", c.get("reason") or "", c.get("message") or "") for c in details.get("causes") or ()
    )
    kind = _BY_STATUS.get(status) or (ServerError if status >= 500 else KubeError)
    return kind(
        message,
        status=status,
        status_reason=answer.get("reason") or "",
        causes=causes,
        retry_after=retry_after if retry_after is not None else details.get("retryAfterSeconds"),
    )


def _status_object(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}
