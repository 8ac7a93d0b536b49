"""From the data of a HelmRepository's Secrets to a typed account. Owns which keys count; it reads no Secret itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.sources.bucket.access import certificates_of
from fleetbeat.sources.credentials import HttpCredentials, git_http_credentials
from fleetbeat.sources.oci.login import KEY, Login

Data = Mapping[str, bytes]


def http_account(data: Data, secret: str) -> HttpCredentials:
    """`username` and `password`, and the old place of certificates; raises AuthenticationFailed naming the key."""
    found = git_http_credentials(data, secret)
    if found.bearer_token is not None:
        raise AuthenticationFailed(f"Secret {secret}: chart repositories take username and password, not bearerToken")
    if found.username is not None and found.password is None:
        raise AuthenticationFailed(f"Secret {secret} has a username but no password; add the key password")
    return found


def trusting(account: HttpCredentials, data: Data, secret: str) -> HttpCredentials:
    """The account with the certificates of a spec.certSecretRef."""
    ca, certificate, key = certificates_of(data, secret)
    return replace(account, ca=ca, certificate=certificate, key=key)


def plain_login(data: Data, secret: str) -> Login | None:
    """The account of a registry by `username` and `password`; None where the Secret is (or should be) Docker's."""
    if KEY in data or not data.get("username"):
        return None
    account = http_account(data, secret)
    return Login(account.username, account.password)
