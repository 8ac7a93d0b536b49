"""How to reach one cluster: address, trust, credentials. Owns `ClusterConfig` and the TLS context made from it.

Reading kubeconfig files is in `kubeconfig.py`. This module opens no connection.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fleetbeat.kube.errors import InvalidKubeconfig

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class ClusterConfig:
    """One cluster and one account on it. Secrets stay out of `repr`."""

    server: str
    """`https://host:port[/prefix]`, no trailing slash."""
    ca: bytes | None = field(default=None, repr=False)
    """PEM bundle that the server's certificate must chain to; None means the system's."""
    client_cert: bytes | None = field(default=None, repr=False)
    client_key: bytes | None = field(default=None, repr=False)
    token: Callable[[], str] | None = field(default=None, repr=False)
    """Called for every request: tokens of service accounts and exec plugins change while we run."""
    refused: Callable[[], None] | None = field(default=None, repr=False)
    """Told of a 401, where `token` asks somebody for a token that lasts."""
    basic: tuple[str, str] | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    insecure: bool = False
    proxy_url: str | None = field(default=None, repr=False)
    namespace: str = ""
    """The namespace of the kubeconfig's context, "" when it names none."""
    impersonation: tuple[tuple[str, str], ...] = ()
    """Impersonate-* headers that the kubeconfig itself asks for."""
    ignored: tuple[str, ...] = ()
    """Fields of an untrusted kubeconfig that were dropped, for error messages."""

    @classmethod
    def from_kubeconfig(
        cls, data: Mapping[str, Any] | bytes | Path, *, trusted: bool, context: str | None = None
    ) -> ClusterConfig:
        """The cluster of `context` (default: the current one).

        trusted: a file of the person or process that runs us; exec plugins, files and insecure TLS work. Otherwise
        (a tenant's Secret) those are dropped, and it is an error when no credential is left.
        Raises InvalidKubeconfig naming the field.
        """
        from fleetbeat.kube import kubeconfig

        return kubeconfig.load(data, trusted=trusted, context=context)

    @classmethod
    def in_cluster(cls) -> ClusterConfig:
        """The cluster that this Pod runs in, under its service account (token re-read as it rotates)."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not (SERVICE_ACCOUNT / "token").exists():
            raise InvalidKubeconfig("not running in a Pod: set KUBECONFIG or pass --kubeconfig")
        address = f"[{host}]" if ":" in host else host
        return cls(
            server=f"https://{address}:{port}",
            ca=(SERVICE_ACCOUNT / "ca.crt").read_bytes(),
            token=lambda: (SERVICE_ACCOUNT / "token").read_text().strip(),
            namespace=(SERVICE_ACCOUNT / "namespace").read_text().strip(),
        )

    @cached_property
    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context for the sync pool and for aiohttp alike; None for plain http."""
        if not self.server.startswith("https://"):
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._trust(context)
        if self.client_cert and self.client_key:
            _load_identity(context, self.client_cert, self.client_key)
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca is None:
            context.load_default_certs()
        else:
            try:
                context.load_verify_locations(cadata=self.ca.decode("ascii"))
            except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
                raise InvalidKubeconfig("certificate-authority-data is not a PEM certificate") from error
            # Private CAs of older clusters lack the key usage extension that Python's strict mode asks for.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT

    def auth_headers(self) -> dict[str, str]:
        """Headers of this account, read anew each time because tokens rotate."""
        headers = dict(self.impersonation)
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token()}"
        elif self.basic is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(self.basic).encode()).decode()
        return headers

    def without_credentials(self) -> ClusterConfig:
        """The same address and trust with no account, for impersonation tests and anonymous probes."""
        return replace(self, client_cert=None, client_key=None, token=None, refused=None, basic=None, impersonation=())


def _load_identity(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    """OpenSSL reads a client certificate from files only; ours live for this call, readable by us alone."""
    with tempfile.TemporaryDirectory(prefix="fleetbeat-tls-") as directory:
        pem = Path(directory, "identity.pem")
        with os.fdopen(os.open(pem, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(cert.rstrip() + b"\n" + key)
        try:
            context.load_cert_chain(pem)
        except (ssl.SSLError, OSError) as error:
            raise InvalidKubeconfig(
                "client-certificate-data and client-key-data are not a matching PEM pair"
            ) from error
