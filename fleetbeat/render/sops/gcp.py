"""Google Cloud KMS: the vendor's SDK logs in, with the account of the Secret or an identity; one call decrypts."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from fleetbeat import clouds
from fleetbeat.render.sops.keys import GCP, CannotOpen, Keys

HOST = "https://cloudkms.googleapis.com"
"""The only server that tokens are sent to."""
_SCOPE = "https://www.googleapis.com/auth/cloudkms"
_NAME = re.compile(r"projects/[\w.:-]+/locations/[\w-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+(?:/cryptoKeyVersions/\d+)?")


class _Answer(msgspec.Struct):
    plaintext: str = ""


_answer = msgspec.json.Decoder(_Answer)


def open_key(entry: Mapping[str, Any], keys: Keys) -> bytes:
    """The data key; raises CannotOpen naming the key."""
    name = str(entry.get("resource_id") or "")
    if not _NAME.fullmatch(name):
        raise CannotOpen("its sops block has a gcp_kms key without a valid resource_id")
    if keys.post is None:
        raise CannotOpen(f"GCP KMS key {name}: no way to ask for it")
    headers = {"Authorization": f"Bearer {_token(name, keys)}", "Content-Type": "application/json"}
    body = msgspec.json.encode({"ciphertext": entry["enc"]})
    status, answer = keys.post(f"{HOST}/v1/{name.partition('/cryptoKeyVersions')[0]}:decrypt", headers, body)
    if status != 200:
        raise CannotOpen(f"GCP KMS key {name}: Google answers {status}")
    try:
        return base64.b64decode(_answer.decode(answer).plaintext, validate=True)
    except (msgspec.DecodeError, binascii.Error):
        raise CannotOpen(f"GCP KMS key {name}: Google's answer holds no data key") from None


def _token(name: str, keys: Keys) -> str:
    try:
        from google.oauth2 import service_account
    except ImportError:
        raise CannotOpen("GCP KMS needs a package that is not installed: pip install 'fleetbeat[gcp]'") from None
    account = keys.gcp
    if account is not None and account.get("type") != "service_account":
        raise CannotOpen(f"GCP KMS: {GCP!r} of the Secret must be the key file of a service account")
    try:
        credentials: Any = keys.login.google((_SCOPE,)) if keys.login and account is None else None
        if account is not None:
            credentials = service_account.Credentials.from_service_account_info(account, scopes=[_SCOPE])  # type: ignore[no-untyped-call]
        return clouds.google((_SCOPE,), credentials).value
    except CannotOpen:
        raise
    except Exception as error:  # the SDK has many, and their texts may quote what a server answered
        raise CannotOpen(f"GCP KMS key {name}: no login ({type(error).__name__})") from None
