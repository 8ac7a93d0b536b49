"""The login of a GitHub App's installation, instead of somebody's password.

Owns the keys of the Secret, the App's signed proof and the two requests to GitHub's API: whose installation, and a
token for it. The token opens what the installation may read, for an hour; it is kept in memory only.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TypeVar
from urllib.parse import quote, urlsplit

import jwt
import msgspec
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from fleetbeat.errors import AuthenticationFailed, GitOperationFailed, InvalidProvider
from fleetbeat.sources.credentials import HttpCredentials, Proxy
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.patience import later
from fleetbeat.sources.pools import describe, pool
from fleetbeat.sources.tokens import TOKENS, Held

PUBLIC_API = "https://api.github.com"
USER = "x-access-token"
_STEP_SECONDS = 15.0
_ANSWER_BYTES = 1024 * 1024
_PROOF_SECONDS = 540
"""GitHub takes ten minutes at most, by its own clock."""
_SKEW_SECONDS = 60

AnswerT = TypeVar("AnswerT")


class _Installation(msgspec.Struct, frozen=True):
    id: int


class _Token(msgspec.Struct, frozen=True):
    token: str
    expires_at: datetime


_installation, _token = msgspec.json.Decoder(_Installation), msgspec.json.Decoder(_Token)


@dataclass(frozen=True)
class App:
    """A GitHub App and which of its installations is meant: by id, or by who owns the repositories."""

    id: str
    key: bytes = field(repr=False)
    installation: str = ""
    owner: str = ""
    api: str = PUBLIC_API


def app_of(data: Mapping[str, bytes], secret: str) -> App:
    """Read `githubAppID`, `githubAppPrivateKey`, `githubAppInstallationID` or `githubAppInstallationOwner`, and
    `githubAppBaseURL`; InvalidProvider names the Secret and the key that is missing or wrong."""
    texts = {name: value.decode("utf-8", "replace").strip() for name, value in data.items()}
    number, key = texts.get("githubAppID", ""), data.get("githubAppPrivateKey", b"")
    installation, owner = texts.get("githubAppInstallationID", ""), texts.get("githubAppInstallationOwner", "")
    for name, value in (("githubAppID", number), ("githubAppPrivateKey", key.strip())):
        if not value:
            raise InvalidProvider(f"Secret {secret} lacks the key {name}, which provider github needs")
    if bool(installation) == bool(owner):
        raise InvalidProvider(
            f"Secret {secret} must have either githubAppInstallationID or githubAppInstallationOwner, and not both"
        )
    if not all(text.isascii() and text.isalnum() for text in (number, installation or "1")):
        raise InvalidProvider(f"Secret {secret}: githubAppID and githubAppInstallationID are numbers")
    return App(number, key, installation, owner, _api(texts.get("githubAppBaseURL") or PUBLIC_API, secret))


def account_of(app: App, trust: HttpCredentials, deadline: Deadline) -> HttpCredentials:
    """`trust` (authorities, proxy) with the App's login. AuthenticationFailed when GitHub refuses the App."""
    parts = (app.id, app.key, app.installation, app.owner, app.api)
    bare = replace(trust, identity="github " + hashlib.sha256(repr(parts).encode()).hexdigest())
    return TOKENS.get(bare.fingerprint, partial(_login, app, bare, deadline))


def _api(text: str, secret: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InvalidProvider(f"Secret {secret}: githubAppBaseURL must be like https://github.example/api/v3")
    return text.rstrip("/")


def _login(app: App, bare: HttpCredentials, deadline: Deadline) -> Held[HttpCredentials]:
    api = _Api(app, bare, deadline)
    installation = app.installation or str(api.installation_of(app.owner))
    found = api.token(installation)
    return Held(replace(bare, username=USER, password=found.token), found.expires_at.timestamp())


class _Api:
    """GitHub's API as the App itself, for one login."""

    def __init__(self, app: App, trust: HttpCredentials, deadline: Deadline) -> None:
        self._app = app
        self._trust = trust
        self._deadline = deadline
        self._proof = _signed(app)

    def installation_of(self, owner: str) -> int:
        """The id of the installation for an organisation, or else a user."""
        name = quote(owner, safe="")
        for path in (f"/orgs/{name}/installation", f"/users/{name}/installation"):
            status, body = self._ask("GET", path)
            if status != 404:
                return self._read(_installation, status, body, path).id
        raise AuthenticationFailed(f"{self._app.api}: the GitHub App {self._app.id} is not installed for {owner}")

    def token(self, installation: str) -> _Token:
        """A token of that installation."""
        path = f"/app/installations/{installation}/access_tokens"
        status, body = self._ask("POST", path)
        if status == 404:
            raise AuthenticationFailed(
                f"{self._app.api}: the GitHub App {self._app.id} has no installation {installation}"
            )
        return self._read(_token, status, body, path)

    def _read(self, decoder: msgspec.json.Decoder[AnswerT], status: int, body: bytes, path: str) -> AnswerT:
        where = f"{self._app.api}{path}"
        if status in (401, 403):
            raise AuthenticationFailed(
                f"{where}: GitHub refuses the App (HTTP {status}); check githubAppID and githubAppPrivateKey, and"
                " whether the installation is suspended"
            )
        if status not in (200, 201):
            raise GitOperationFailed(f"{where}: GitHub answered with HTTP {status}")
        try:
            return decoder.decode(body)
        except msgspec.MsgspecError:
            raise GitOperationFailed(
                f"{where}: the answer is not one of GitHub's API; check githubAppBaseURL"
            ) from None

    def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        url, seconds = self._app.api + path, min(_STEP_SECONDS, self._deadline.left())
        headers = {"Authorization": f"Bearer {self._proof}", "Accept": "application/vnd.github+json"}
        try:
            response = pool(url, self._trust).request(
                method,
                url,
                headers={**headers, "User-Agent": "fleetbeat", "X-GitHub-Api-Version": "2022-11-28"},
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=Timeout(connect=seconds, read=seconds),
            )
            body = response.read(_ANSWER_BYTES)
            response.close()
        except HTTPError as error:
            self._deadline.left()
            raise GitOperationFailed(f"{self._app.api}: {describe(error, self._trust.proxy)}") from error
        pause = later(response.headers.get("Retry-After"))
        if response.status == 429 or (response.status == 403 and pause):
            raise GitOperationFailed(f"{url}: GitHub asks to come back later", retry_after=pause)
        return response.status, body


def _signed(app: App) -> str:
    """The App's own proof of who it is."""
    now = int(time.time())
    claims = {"iat": now - _SKEW_SECONDS, "exp": now + _PROOF_SECONDS, "iss": app.id}
    try:
        return jwt.encode(claims, app.key, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        raise InvalidProvider("the key githubAppPrivateKey of the Secret is no RSA private key in PEM form") from None


def trust_of(data: Mapping[str, bytes], proxy: Proxy | None) -> HttpCredentials:
    """What a Secret says beside the App's keys: `ca.crt` (or `caFile`)."""
    return HttpCredentials(ca=data.get("ca.crt") or data.get("caFile") or None, proxy=proxy)
