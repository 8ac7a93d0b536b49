"""The key services of AWS, Google, Azure and HashiCorp as one local HTTP server, as far as data keys go.

What it "encrypts" is the text turned around behind a mark; who is let in is checked as the real ones do.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import urllib3

MARK = b"wrapped:"
TOKEN = "the-token"


def wrap(plain: bytes) -> bytes:
    """Encrypt."""
    return MARK + plain[::-1]


def unwrap(wrapped: bytes) -> bytes:
    """Decrypt; raises ValueError when `wrap` did not make it."""
    if not wrapped.startswith(MARK):
        raise ValueError("not ours")
    return wrapped[len(MARK) :][::-1]


class KeyServices:
    """The server; `seen` are the requests: path with query, headers and body."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.tokens = {TOKEN}
        """Bearer tokens that Google's and Azure's take."""
        self.reviews: Callable[[str, str], bool] = lambda role, jwt: False
        """Whether Vault lets the bearer of a token in as a role."""
        services = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._serve(self.rfile.read(int(self.headers["Content-Length"] or 0)))

            def do_PUT(self) -> None:
                self.do_POST()

            def do_GET(self) -> None:
                self._serve(b"{}")

            def _serve(self, raw: bytes) -> None:
                try:
                    body = json.loads(raw or b"{}")
                except ValueError:
                    body = {"form": raw.decode()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                services.seen.append((self.path, headers, body))
                status, answer = services.answer(self.path, headers, body)
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Whatever the host is, here."""
        parts = urlsplit(url)
        to = f"{self.url}{parts.path}{'?' + parts.query if parts.query else ''}"
        with urllib3.PoolManager() as pool:
            response = pool.request("POST", to, headers={**headers, "X-Host": parts.netloc}, body=body)
            return response.status, response.data

    def answer(self, path: str, headers: Mapping[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What a request gets."""
        if (target := headers.get("x-amz-target", "")).startswith("TrentService."):
            return _aws(target.partition(".")[2], body)
        if path.startswith(("/token", "/identity")):
            return 200, {"access_token": TOKEN, "expires_in": 3600, "expires_on": "4102444800", "token_type": "Bearer"}
        if path.endswith("/login"):
            known = self.reviews(body["role"], body["jwt"])
            return (200, {"auth": {"client_token": TOKEN}}) if known else (403, {"errors": ["permission denied"]})
        if path.startswith("/v1/transit/"):
            if headers.get("x-vault-token") != TOKEN:
                return 403, {"errors": ["permission denied"]}
            return 200, {"data": _vault(path, body)}
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return 401, {}
        if path.startswith("/v1/projects/"):
            return 200, {"plaintext": base64.b64encode(unwrap(base64.b64decode(body["ciphertext"]))).decode()}
        value = base64.urlsafe_b64decode(body["value"] + "==")
        return 200, {"value": base64.urlsafe_b64encode(unwrap(value)).decode().rstrip("=")}


def _aws(action: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    context = json.dumps(body.get("EncryptionContext") or {}, sort_keys=True).encode()
    if action == "Encrypt":
        blob = wrap(context + b"|" + base64.b64decode(body["Plaintext"]))
        return 200, {"CiphertextBlob": base64.b64encode(blob).decode(), "KeyId": body["KeyId"]}
    made, _, plain = unwrap(base64.b64decode(body["CiphertextBlob"])).partition(b"|")
    if made != context:
        return 400, {"__type": "InvalidCiphertextException"}
    return 200, {"Plaintext": base64.b64encode(plain).decode(), "KeyId": body["KeyId"]}


def _vault(path: str, body: dict[str, Any]) -> dict[str, str]:
    if "/encrypt/" in path:
        return {"ciphertext": "vault:v1:" + base64.b64encode(wrap(base64.b64decode(body["plaintext"]))).decode()}
    wrapped = base64.b64decode(body["ciphertext"].removeprefix("vault:v1:"))
    return {"plaintext": base64.b64encode(unwrap(wrapped)).decode()}
