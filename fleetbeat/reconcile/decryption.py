"""`spec.decryption`: the keys of a Kustomization, and the way to key services that are plain HTTP.

Reads the Secret in the Kustomization's own namespace and no other, except the one that the operator of the whole
installation names. What is read stays in memory for this run.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from fleetbeat.api.kustomize import Decryption
from fleetbeat.errors import BuildFailed
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.render.sops.keys import CannotOpen, Keys, keys_of, only_age
from fleetbeat.sources.credentials import HttpCredentials
from fleetbeat.sources.pools import describe, pool

CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
MAX_ANSWER = 1024 * 1024
"""Bytes of a key service's answer; a data key takes a hundred."""


def gather(reader: HubReader, namespace: str, decryption: Decryption, common: str) -> Keys:
    """The keys that decrypt for a Kustomization in `namespace`.

    common: `namespace/name` of the Secret with age keys that serves where the spec names none, "" for none.
    Raises BuildFailed naming a Secret that is missing or an entry of it that cannot be read.
    """
    if decryption.secret_ref is not None:
        name = decryption.secret_ref.name
        return keys_of(_read(reader, namespace, name, "spec.decryption.secretRef"), f"Secret {namespace}/{name}", post)
    if common:
        namespace, _, name = common.rpartition("/")
        return only_age(_read(reader, namespace, name, "FLEETBEAT_SOPS_AGE_SECRET"), f"Secret {common}", post)
    return Keys(where="the worker's own identity, because spec.decryption has no secretRef", post=post)


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
