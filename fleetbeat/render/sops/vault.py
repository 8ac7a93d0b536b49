"""HashiCorp Vault and OpenBao: data keys encrypted by the transit engine, over plain HTTP.

The address stands in the encrypted text. So a token out of the Secret beside the Kustomization, the tenant's own, goes
wherever the author of the text says; any other is one that the server at that very address gave.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from fleetbeat.render.sops.keys import VAULT, CannotOpen, Keys


class _Data(msgspec.Struct):
    plaintext: str = ""


class _Answer(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)


_answer = msgspec.json.Decoder(_Answer)


def open_key(entry: Mapping[str, Any], keys: Keys) -> bytes:
    """The data key; raises CannotOpen naming server and key."""
    address, engine, name = (str(entry.get(field) or "") for field in ("vault_address", "engine_path", "key_name"))
    parts = urlsplit(address)
    key = f"Vault transit key {name[:80]!r} at {parts.hostname}"
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise CannotOpen("its sops block has a vault_address that is no http or https URL")
    if keys.post is None or not (keys.vault_token or keys.vault_login):
        raise CannotOpen(f"{key}: the Secret has no {VAULT!r}")
    token = keys.vault_token or (keys.vault_login(address) if keys.vault_login else "")
    url = f"{address.rstrip('/')}/v1/{quote(engine.strip('/'))}/decrypt/{quote(name, safe='')}"
    body = msgspec.json.encode({"ciphertext": entry["enc"]})
    status, answer = keys.post(url, {"X-Vault-Token": token, "Content-Type": "application/json"}, body)
    if status == 403:
        raise CannotOpen(f"{key}: the token is not allowed to decrypt with it")
    if status != 200:
        raise CannotOpen(f"{key}: the server answers {status}")
    try:
        return base64.b64decode(_answer.decode(answer).data.plaintext, validate=True)
    except (msgspec.DecodeError, binascii.Error):
        raise CannotOpen(f"{key}: the server's answer holds no data key") from None
