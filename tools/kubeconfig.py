"""Kubeconfigs for the bench's clusters, with all credentials inside, as they are kept in Secrets."""

from __future__ import annotations

import base64
from typing import Any

from tools.pki import KeyPair


def kubeconfig(cluster: str, url: str, authority: bytes, user: str, credentials: dict[str, str]) -> dict[str, Any]:
    """A kubeconfig with one cluster, user and context; `authority` is PEM."""
    server = {"server": url, "certificate-authority-data": encode(authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster,
        "clusters": [{"name": cluster, "cluster": server}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
    }


def certificate(pair: KeyPair) -> dict[str, str]:
    """The user entry for a client certificate."""
    return {"client-certificate-data": encode(pair.certificate), "client-key-data": encode(pair.key)}


def encode(data: bytes) -> str:
    """Base64, as kubeconfigs and Secrets carry bytes."""
    return base64.b64encode(data).decode()
