"""A service account of the hub as an identity at the vendors, for sources and for decryption.

The account is always one of the resource's own namespace. Owns what a source tells when the account has no identity;
which hosts see the identity is for those who use it to check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.kube import vendorlogins
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import Forbidden, InvalidKubeconfig, KubeError, Unauthorized

T = TypeVar("T")


class CloudLogin:
    """Who a service account is at the vendors; a `clouds.Login`. AWS is asked once for each region."""

    def __init__(
        self, hub: KubeClient, namespace: str, account: str, refusal: Callable[[KubeError], Exception]
    ) -> None:
        """refusal: what is raised for an error of the hub or of AWS."""
        self._hub, self._namespace, self._account, self._refusal = hub, namespace, account, refusal
        self._sessions: dict[str, Any] = {}

    def who(self) -> str:
        """The account and what its annotations say; nothing secret."""
        return self._asked(vendorlogins.identity_of)

    def aws(self, region: str) -> Any:
        """botocore's session in the account's role."""
        if region not in self._sessions:
            self._sessions[region] = self._asked(vendorlogins.aws_session, region)
        return self._sessions[region]

    def azure(self) -> Any:
        """azure-identity's credential."""
        return self._asked(vendorlogins.azure_credential)

    def google(self, scopes: Sequence[str]) -> Any:
        """google-auth's credentials."""
        return self._asked(vendorlogins.google_credentials, scopes)

    def _asked(self, ask: Callable[..., T], *more: Any) -> T:
        try:
            return ask(self._hub, self._namespace, self._account, *more)
        except KubeError as error:
            raise self._refusal(error) from None


def source_login(hub: KubeClient, namespace: str, account: str) -> CloudLogin | None:
    """Who a source is at a vendor: that account of its namespace, or None, the worker itself, when none is named.

    Raises AuthenticationFailed, or KubeError when the hub does not answer as it should.
    """
    return CloudLogin(hub, namespace, account, _refusal) if account else None


def _refusal(error: KubeError) -> Exception:
    if isinstance(error, Forbidden):
        return AuthenticationFailed(
            f"spec.serviceAccountName: {error.message}; the source role needs the right to create"
            " serviceaccounts/token, which the chart's value sourceServiceAccountTokens gives it"
        )
    if isinstance(error, (Unauthorized, InvalidKubeconfig)):
        return AuthenticationFailed(f"spec.serviceAccountName: {error.message}")
    return error
