"""Credentials that a program prints: exec plugins and auth providers of trusted kubeconfigs.

The only module that imports the `kubernetes` package, whose loader runs plugins and knows their protocol.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from fleetbeat.kube.errors import InvalidKubeconfig

RELOAD_AFTER = 60.0
"""Seconds between runs of a plugin that prints tokens; the shortest lifetimes in use are ten minutes."""


@dataclass(frozen=True)
class Plugin:
    """What the plugin printed: a token (run again as it ages), or a client certificate (kept for this process)."""

    token: Callable[[], str] | None = None
    cert: bytes | None = None
    key: bytes | None = None


def run(document: Mapping[str, Any], context: str) -> Plugin:
    """Run the plugin of a kubeconfig's context. Raises InvalidKubeconfig when it fails or prints nothing usable."""
    token, cert, key = _load(document, context)
    if token:
        return Plugin(token=_Token(document, context, token))
    if cert and key:
        return Plugin(cert=cert, key=key)
    raise InvalidKubeconfig("kubeconfig: the user's exec plugin or auth-provider gave no credential")


class _Token:
    def __init__(self, document: Mapping[str, Any], context: str, token: str) -> None:
        self._document, self._context, self._token = document, context, token
        self._lock = threading.Lock()
        self._until = monotonic() + RELOAD_AFTER

    def __call__(self) -> str:
        with self._lock:
            if monotonic() >= self._until:
                self._token = _load(self._document, self._context)[0]
                self._until = monotonic() + RELOAD_AFTER
            return self._token


def _load(document: Mapping[str, Any], context: str) -> tuple[str, bytes | None, bytes | None]:
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_kube_config_from_dict

    configuration = Configuration()
    try:
        load_kube_config_from_dict(  # type: ignore[no-untyped-call]
            dict(document), context=context, client_configuration=configuration, persist_config=False
        )
    except (ConfigException, OSError, ValueError) as error:
        raise InvalidKubeconfig(f"kubeconfig: the user's plugin failed: {error}") from error
    header = str(configuration.api_key.get("authorization") or configuration.api_key.get("BearerToken") or "")
    token = header.removeprefix("Bearer ").removeprefix("bearer ")
    return token, _read(configuration.cert_file), _read(configuration.key_file)


def _read(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path else None
