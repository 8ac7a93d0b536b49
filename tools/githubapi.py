"""The two requests of GitHub's API that a GitHub App logs in by, on 127.0.0.1 for tests.

Owns the App's key, its installations and the tokens that it handed out; it checks each proof as GitHub does.
"""

from __future__ import annotations

import datetime
import json
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

APP = "4711"


class GithubApi:
    """The API; all that it knows may change while it runs."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self.installations = {"orgs/fleet": 7, "users/ann": 8}
        """Owner as the API's path has it → id."""
        self.lifetime = datetime.timedelta(hours=1)
        self.tokens: list[str] = []
        """In the order in which they were handed out."""
        self.seen: list[str] = []
        """Method and path of each request."""
        self.status: int | None = None
        """Answer every request with this."""
        self.headers: dict[str, str] = {}
        self._http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """As a Secret's key `githubAppBaseURL` has it."""
        assert self._http is not None
        return f"http://127.0.0.1:{self._http.server_port}/api/v3"

    @property
    def private_key(self) -> bytes:
        """As GitHub hands it out."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )

    def secret(self, **more: str) -> dict[str, bytes]:
        """The data of a Secret for the App; what is empty in `more` is left out."""
        data = {"githubAppID": APP, "githubAppInstallationID": "7", "githubAppBaseURL": self.url}
        data["githubAppPrivateKey"] = self.private_key.decode()
        return {name: value.encode() for name, value in (data | more).items() if value}

    def answer(self, method: str, path: str, authorization: str) -> tuple[int, object]:
        """Status and body."""
        self.seen.append(f"{method} {path}")
        if self.status:
            return self.status, {"message": "as told"}
        if not self._proves(authorization.removeprefix("Bearer ")):
            return 401, {"message": "A JSON web token could not be decoded"}
        if found := re.fullmatch(r"/api/v3/((?:orgs|users)/\w+)/installation", path):
            known = self.installations.get(found[1])
            return (200, {"id": known, "account": {"login": "x"}}) if known else (404, {"message": "Not Found"})
        found = re.fullmatch(r"/api/v3/app/installations/(\d+)/access_tokens", path)
        if found is None or method != "POST" or int(found[1]) not in self.installations.values():
            return 404, {"message": "Not Found"}
        self.tokens.append(f"ghs_{uuid.uuid4().hex}")
        ends = datetime.datetime.now(datetime.UTC) + self.lifetime
        return 201, {"token": self.tokens[-1], "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ"), "permissions": {}}

    def _proves(self, proof: str) -> bool:
        try:
            claims = jwt.decode(proof, self._key.public_key(), algorithms=["RS256"])
        except jwt.PyJWTError:
            return False
        return bool(claims["iss"] == APP) and claims["exp"] - claims["iat"] <= 600

    def __enter__(self) -> GithubApi:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.02,), name="github", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._http is not None
        self._http.shutdown()
        self._http.server_close()


def _handler(api: GithubApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = api.answer(self.command, self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in api.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler
