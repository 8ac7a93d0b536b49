"""A real OCI registry on 127.0.0.1 for tests and the demo: the distribution project's, built by tools/binaries.py.

Owns its configuration: TLS, a login by password, or tokens of a small token server beside it, which is ours. Images are
pushed with `fleetbeat.sources.oci.push`; the registry has no referrers API, so clients keep up tags instead.
"""

from __future__ import annotations

import base64
import datetime
import hmac
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

import bcrypt
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tools import binaries
from tools.pki import Authority, KeyPair
from workers.embedded import ports
from workers.embedded.process import Server

SERVICE = "registry"


@dataclass(frozen=True)
class Asked:
    """One request that the token server got."""

    method: str
    scope: str
    authorization: str


class RegistryServer:
    """The registry; stop and start keep address and data."""

    def __init__(
        self,
        directory: Path,
        *,
        tls: bool = False,
        client_certificates: bool = False,
        account: tuple[str, str] | None = None,
        tokens: bool = False,
        token_seconds: int = 300,
    ) -> None:
        """`account` (user name, password) is asked for, directly or, with `tokens`, by the token server.

        Without an account the token server gives everybody a token. `client_certificates` implies TLS.
        """
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.port = ports.reserve()
        self.authority = Authority("registry authority") if tls or client_certificates else None
        self.account = account
        self.tokens = TokenServer(account, token_seconds, self.authority) if tokens else None
        self._client_certificates = client_certificates
        self._server = Server("registry", [binaries.find("registry"), "serve", self._config()], directory / "log")

    @property
    def host(self) -> str:
        """`127.0.0.1:<port>`"""
        return f"127.0.0.1:{self.port}"

    @property
    def ca(self) -> bytes:
        """The authority that clients must trust, PEM; TLS only."""
        assert self.authority is not None, "the registry was made without tls=True"
        return self.authority.certificate

    def client_certificate(self) -> KeyPair:
        """A client certificate that the registry accepts; TLS only."""
        assert self.authority is not None, "the registry was made without tls=True"
        return self.authority.client("client")

    def start(self) -> None:
        """Serve; returns when it takes connections."""
        if self.tokens:
            self.tokens.start()
        self._server.start()
        self._server.wait_ready(lambda: _listens(self.port))

    def stop(self) -> None:
        """End it; the data stay."""
        self._server.stop()
        if self.tokens:
            self.tokens.stop()

    def _config(self) -> Path:
        http: dict[str, object] = {"addr": self.host, "secret": "none of any worth"}
        if self.authority:
            http["tls"] = self._tls(self.authority)
        config: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.directory / "data")},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": http,
        }
        if self.tokens:
            config["auth"] = {"token": self.tokens.settings(self._file("token.crt", self.tokens.certificate))}
        elif self.account:
            name, password = self.account
            line = f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n".encode()
            config["auth"] = {"htpasswd": {"realm": "registry", "path": str(self._file("htpasswd", line))}}
        return self._file("config.yaml", yaml.safe_dump(config).encode())

    def _tls(self, authority: Authority) -> dict[str, object]:
        pair = authority.server("127.0.0.1", "localhost")
        files = {"certificate": self._file("tls.crt", pair.certificate), "key": self._file("tls.key", pair.key)}
        settings: dict[str, object] = {name: str(path) for name, path in files.items()}
        if self._client_certificates:
            settings["clientcas"] = [str(self._file("ca.crt", authority.certificate))]
        return settings

    def _file(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(content)
        return path

    def __enter__(self) -> RegistryServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class TokenServer:
    """Gives out what the registry accepts; `asked` is its log."""

    def __init__(self, account: tuple[str, str] | None, seconds: int, authority: Authority | None = None) -> None:
        """With an authority it speaks TLS."""
        self.account = account
        self._authority = authority
        self.seconds = seconds
        self.asked: list[Asked] = []
        self.port = ports.reserve()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._http: ThreadingHTTPServer | None = None
        self._certificate = _self_signed(self._key)

    @property
    def realm(self) -> str:
        return f"{'https' if self._authority else 'http'}://127.0.0.1:{self.port}/token"

    @property
    def certificate(self) -> bytes:
        """Whose tokens the registry believes, PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def settings(self, bundle: Path) -> dict[str, object]:
        """The part of the registry's configuration that names this server."""
        return {"realm": self.realm, "service": SERVICE, "issuer": "fleetbeat", "rootcertbundle": str(bundle)}

    def start(self) -> None:
        if self._http is None:
            self._http = _Tokens(
                self, self._authority.server("127.0.0.1", "localhost").server_context() if self._authority else None
            )
            threading.Thread(target=self._http.serve_forever, args=(0.02,), name="tokens", daemon=True).start()

    def stop(self) -> None:
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def allows(self, authorization: str, refresh_token: str) -> bool:
        """Whether whoever asks is the account; an identity token is simply its password."""
        if self.account is None:
            return True
        basic = "Basic " + base64.b64encode(":".join(self.account).encode()).decode()
        return hmac.compare_digest(authorization.encode(), basic.encode()) or refresh_token == self.account[1]

    def token(self, scope: str) -> str:
        """A signed token with everything that `scope` asks for."""
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        now = int(time.time())
        access = [{"type": kind, "name": name, "actions": actions.split(",")}] if scope else []
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        head = {"alg": "ES256", "typ": "JWT", "x5c": [base64.b64encode(der).decode()]}
        body = {"iss": "fleetbeat", "aud": SERVICE, "sub": "someone", "access": access, "jti": str(now)}
        times = {"iat": now, "nbf": now - 30, "exp": now + self.seconds}
        text = f"{_url64(json.dumps(head).encode())}.{_url64(json.dumps({**body, **times}).encode())}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_url64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


class _Tokens(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, server: TokenServer, tls: ssl.SSLContext | None) -> None:
        self.tokens = server
        super().__init__(("127.0.0.1", server.port), _TokenHandler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up or fail the handshake are the tests' business, not news."""


class _TokenHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Tokens

    def do_GET(self) -> None:
        self._answer(parse_qs(urlsplit(self.path).query))

    def do_POST(self) -> None:
        self._answer(parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()))

    def _answer(self, fields: dict[str, list[str]]) -> None:
        scope = fields.get("scope", [""])[0]
        login = self.headers.get("Authorization", "")
        tokens = self.server.tokens
        tokens.asked.append(Asked(self.command, scope, login))
        good = tokens.allows(login, fields.get("refresh_token", [""])[0])
        answer = {"token": tokens.token(scope), "expires_in": tokens.seconds} if good else {"errors": []}
        body = json.dumps(answer).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: `TokenServer.asked` is the log."""


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
    return builder.not_valid_after(now + datetime.timedelta(days=30)).sign(key, hashes.SHA256())


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
