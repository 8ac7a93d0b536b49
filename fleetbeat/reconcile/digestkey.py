"""The key of all digests that ledgers and statuses keep of objects.

A plain digest of a Secret would tell its value to whoever can guess it, and more people read ledgers than Secrets. So
digests are keyed; the key is a Secret on the hub, made at first use. Without it, or with another one, objects are
compared with the cluster once more, and nothing else happens.
"""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
from typing import Any

from fleetbeat.kube import namespaces
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import Conflict, KubeError, NotFound
from fleetbeat.kube.ledger import NAMESPACE

log = logging.getLogger(__name__)

NAME, KEY = "fleetbeat-digest-key", "key"
SIZE = 32
_PATH = f"/api/v1/namespaces/{NAMESPACE}/secrets"


def load(hub: KubeClient) -> bytes:
    """The installation's key; one of this process alone where the Secret can be neither read nor made."""
    try:
        return _read(hub) or _create(hub)
    except KubeError as error:
        log.warning("Secret %s/%s: %s; this process makes digests of its own", NAMESPACE, NAME, error)
        return secrets.token_bytes(SIZE)


def _read(hub: KubeClient) -> bytes | None:
    try:
        data = hub.get(f"{_PATH}/{NAME}").get("data") or {}
    except NotFound:
        return None
    try:
        key = base64.b64decode(data.get(KEY) or "", validate=True)
    except binascii.Error:
        key = b""
    if len(key) != SIZE:
        raise KubeError(f"its entry {KEY!r} is not {SIZE} bytes long; delete the Secret, and it is made anew")
    return key


def _create(hub: KubeClient) -> bytes:
    key = secrets.token_bytes(SIZE)
    labels = {"app.kubernetes.io/managed-by": "fleetbeat"}
    secret: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "immutable": True,
        "data": {KEY: base64.b64encode(key).decode()},
    }
    try:
        try:
            hub.create(_PATH, secret)
        except NotFound:
            namespaces.make(hub, NAMESPACE)
            hub.create(_PATH, secret)
    except Conflict:  # another worker was first
        return _read(hub) or key
    return key
