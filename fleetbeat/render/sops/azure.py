"""Azure Key Vault: the vendor's SDK logs in, with the account of the Secret or an identity; one call decrypts.

The vault's address stands in the encrypted text, so the login goes to Azure's own hosts alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from fleetbeat import clouds
from fleetbeat.render.sops.keys import AZURE, CannotOpen, Keys

_HOST = re.compile(
    r"[a-z0-9-]+\.(?P<domain>vault\.azure\.net|vault\.azure\.cn|vault\.usgovcloudapi\.net|managedhsm\.azure\.net)"
)
_PART = re.compile(r"[0-9A-Za-z-]{1,127}")
_VERSION = "7.4"


class _Answer(msgspec.Struct):
    value: str = ""


_answer = msgspec.json.Decoder(_Answer)


def open_key(entry: Mapping[str, Any], keys: Keys) -> bytes:
    """The data key; raises CannotOpen naming vault and key."""
    url, name, version = (str(entry.get(field) or "") for field in ("vault_url", "name", "version"))
    parts = urlsplit(url)
    host = _HOST.fullmatch(parts.netloc)
    if parts.scheme != "https" or host is None or parts.path not in ("", "/"):
        raise CannotOpen("its sops block has a vault_url that is none of Azure Key Vault")
    if not _PART.fullmatch(name) or not _PART.fullmatch(version):
        raise CannotOpen("its sops block has an azure_kv key without a valid name and version")
    key = f"Azure Key Vault key {name!r} of {parts.netloc}"
    if keys.post is None:
        raise CannotOpen(f"{key}: no way to ask for it")
    token = _token(key, f"https://{host['domain']}/.default", keys)
    body = msgspec.json.encode({"alg": "RSA-OAEP-256", "value": entry["enc"]})
    address = f"https://{parts.netloc}/keys/{name}/{version}/decrypt?api-version={_VERSION}"
    status, answer = keys.post(address, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}, body)
    if status != 200:
        raise CannotOpen(f"{key}: Azure answers {status}")
    try:
        value = _answer.decode(answer).value
        return base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True)
    except (msgspec.DecodeError, binascii.Error):
        raise CannotOpen(f"{key}: Azure's answer holds no data key") from None


def _token(key: str, scope: str, keys: Keys) -> str:
    try:
        from azure import identity
    except ImportError:
        raise CannotOpen(
            "Azure Key Vault needs a package that is not installed: pip install 'fleetbeat[azure]'"
        ) from None
    try:
        if keys.azure is not None:
            return clouds.azure(scope, _credential(identity, keys.azure)).value
        return clouds.azure(scope, keys.login.azure() if keys.login else None).value
    except CannotOpen:
        raise
    except Exception as error:  # the SDK has many, and their texts may quote what a server answered
        raise CannotOpen(f"{key}: no login ({type(error).__name__})") from None


def _credential(identity: Any, account: Mapping[str, Any]) -> Any:
    """The login that an Azure authentication file means, by the fields that are there."""
    limits = clouds.AZURE_LIMITS
    if authority := account.get("authorityHost"):
        limits = {**limits, "authority": authority}
    tenant, client = account.get("tenantId") or account.get("tenant"), account.get("clientId") or account.get("appId")
    secret = account.get("clientSecret") or account.get("password")
    if tenant and client and secret:
        return identity.ClientSecretCredential(str(tenant), str(client), str(secret), **limits)
    if tenant and client and (certificate := account.get("clientCertificate")):
        password = account.get("clientCertificatePassword") or None
        return identity.CertificateCredential(
            str(tenant),
            str(client),
            certificate_data=str(certificate).encode(),
            password=password,
            send_certificate_chain=bool(account.get("clientCertificateSendChain")),
            **limits,
        )
    raise CannotOpen(
        f"Azure Key Vault: {AZURE!r} of the Secret needs tenantId, clientId and clientSecret or clientCertificate"
    )
