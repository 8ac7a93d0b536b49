"""`spec.decryption`: the keys of a Kustomization, and the way to key services that are plain HTTP.

Reads the Secret in the Kustomization's own namespace and no other, except the one that the operator of the whole
installation names. What is read stays in memory for this run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from fleetbeat.api.kustomize import Decryption
from fleetbeat.errors import BuildFailed
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.keylogins import CloudLogin, VaultLogin
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.render.sops.keys import CannotOpen, Keys, keys_of, only_age
from fleetbeat.settings import Settings
from fleetbeat.sources.credentials import HttpCredentials
from fleetbeat.sources.pools import describe, pool

CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
MAX_ANSWER = 1024 * 1024
"""Bytes of a key service's answer; a data key takes a hundred."""


def gather(reader: HubReader, namespace: str, decryption: Decryption, settings: Settings) -> Keys:
    """The keys that decrypt for a Kustomization in `namespace`, and who asks key services for it.

    Raises BuildFailed naming a Secret that is missing or an entry of it that cannot be read.
    """
    account = decryption.service_account_name or settings.default_decryption_service_account
    keys = _stored(reader, namespace, decryption, settings.sops_age_secret)
    servers = settings.sops_vault_config_map
    return replace(
        keys,
        where=_where(keys, f"ServiceAccount {namespace}/{account}" if account else ""),
        login=CloudLogin(reader.client, namespace, account) if account else None,
        vault_login=VaultLogin(reader, servers, (namespace, account) if account else None, post) if servers else None,
    )


def _stored(reader: HubReader, namespace: str, decryption: Decryption, common: str) -> Keys:
    """The keys of the Secret that the spec names, else of that with age keys for all, `common`."""
    if decryption.secret_ref is not None:
        name = decryption.secret_ref.name
        return keys_of(_read(reader, namespace, name, "spec.decryption.secretRef"), f"Secret {namespace}/{name}", post)
    if common:
        namespace, _, name = common.partition("/")
        return only_age(_read(reader, namespace, name, "FLEETBEAT_SOPS_AGE_SECRET"), f"Secret {common}", post)
    return Keys(where="", post=post)


def _where(keys: Keys, account: str) -> str:
    """Where to look for a key that is missing, for messages."""
    both = " and ".join(part for part in (keys.where, account) if part)
    return both or "the worker's own identity, because spec.decryption has neither secretRef nor serviceAccountName"


def _read(reader: HubReader, namespace: str, name: str, field: str) -> dict[str, bytes]:
    try:
        return reader.secret(namespace, name)
    except NotFound as error:
        raise BuildFailed(f"{field}: Secret {namespace}/{name} not found; create it with the keys") from error


def post(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a POST, which follows no redirect; raises CannotOpen when there is none."""
    try:
        response = pool(url, HttpCredentials()).request(
            "POST",
            url,
            body=body,
            headers=dict(headers),
            timeout=Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            return response.status, response.read(MAX_ANSWER)
        finally:
            response.drain_conn() if response.status == 200 else response.close()
    except HTTPError as error:
        raise CannotOpen(f"{urlsplit(url).netloc}: {describe(error)}") from None
    except ValueError:
        raise CannotOpen("its sops block names a server by a URL that is none") from None
