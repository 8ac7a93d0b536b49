"""How a registry wants us to log in: nothing, a password, or a token of a server that it names.

Owns challenges (`WWW-Authenticate`) and tokens, both kept in memory only, and the rule whom a login may be shown to:
the registry itself, and the token server that it names if that speaks HTTPS or is the same host.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec
from urllib3 import BaseHTTPResponse

from fleetbeat.errors import AuthenticationFailed, FleetbeatError, OCIPullFailed
from fleetbeat.sources.oci.limits import OciLimits
from fleetbeat.sources.oci.wire import Wire, finish, shown
from fleetbeat.sources.patience import later

_BEARER = re.compile(r"(?:^|,\s*)bearer\s+", re.IGNORECASE)
_BASIC = re.compile(r"(?:^|,\s*)basic(?:\s|,|$)", re.IGNORECASE)
_PARAMETER = re.compile(r'\s*([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|$)', re.IGNORECASE)
_KEPT = 4096
_SHORTEST = 60.0
"""Seconds that a token holds when its server does not say."""
_MARGIN = 10.0
"""Seconds before its end from which on a token is not used any more."""


class Challenge(NamedTuple):
    """What a registry asks for; a token server's address is empty when a password is wanted."""

    realm: str = ""
    service: str = ""


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""
    expires_in: float | None = None


_DECODER = msgspec.json.Decoder(_Token, strict=False)
_Server = tuple[str, str]
"""Base URL, fingerprint of the access."""
_Key = tuple[str, str, str, str]
"""Realm, service, scope, fingerprint of the access."""


@dataclass(frozen=True)
class _Held:
    value: str
    until: float


class _Memory:
    """What this process knows of challenges and tokens; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._challenges: OrderedDict[_Server, Challenge] = OrderedDict()
        self._tokens: OrderedDict[_Key, _Held] = OrderedDict()

    def challenge(self, server: _Server) -> Challenge | None:
        with self._lock:
            return self._challenges.get(server)

    def learn(self, server: _Server, challenge: Challenge | None) -> None:
        with self._lock:
            self._challenges.pop(server, None)
            if challenge is not None:
                self._challenges[server] = challenge
            _trim(self._challenges)

    def token(self, key: _Key) -> str | None:
        with self._lock:
            held = self._tokens.get(key)
        return held.value if held and held.until > monotonic() else None

    def keep(self, key: _Key, held: _Held) -> None:
        with self._lock:
            self._tokens[key] = held
            _trim(self._tokens)

    def forget(self, key: _Key) -> None:
        with self._lock:
            self._tokens.pop(key, None)


def _trim(entries: OrderedDict[_Key, _Held] | OrderedDict[_Server, Challenge]) -> None:
    while len(entries) > _KEPT:
        entries.popitem(last=False)


_MEMORY = _Memory()


class Authenticator:
    """Finds the Authorization header for requests of one run to one repository."""

    def __init__(self, wire: Wire, scope: str, limits: OciLimits) -> None:
        """`scope` is what a token is asked for: `repository:org/app:pull`."""
        self._wire = wire
        self._scope = scope
        self._limits = limits
        self._login = wire.access.login
        self._account = wire.access.fingerprint
        self._fresh = False

    @property
    def _server(self) -> _Server:
        return self._wire.base, self._account

    def header(self) -> str | None:
        """What the registry is believed to want; None: nothing, or it has not said yet."""
        if self._login.registry_token:
            return f"Bearer {self._login.registry_token}"
        challenge = _MEMORY.challenge(self._server)
        if challenge is None:
            return None
        return f"Bearer {self._token(challenge)}" if challenge.realm else self._login.basic

    def learn(self, response: BaseHTTPResponse, sent: str | None) -> bool:
        """Take in a 401; False when another try could not do better than `sent`."""
        challenge = parse_challenge(", ".join(response.headers.getlist("WWW-Authenticate")))
        if challenge is None or self._login.registry_token:
            return False
        _MEMORY.learn(self._server, challenge)
        if not challenge.realm:
            return self._login.basic is not None and sent != self._login.basic
        if sent and self._fresh:
            return False
        _MEMORY.forget(self._key(challenge))
        return True

    def _key(self, challenge: Challenge) -> _Key:
        return challenge.realm, challenge.service, self._scope, self._account

    def _token(self, challenge: Challenge) -> str:
        key = self._key(challenge)
        found = _MEMORY.token(key)
        if found is None:
            self._check(challenge.realm)
            _MEMORY.learn(self._server, None)  # unless it answers: the registry may have another one by now
            held = self._ask(challenge)
            _MEMORY.learn(self._server, challenge)
            _MEMORY.keep(key, held)
            self._fresh = True
            found = held.value
        return found

    def _check(self, realm: str) -> None:
        """The login may be shown to an encrypted token server, or to the registry's host when that is not encrypted."""
        there, here = urlsplit(realm), urlsplit(self._wire.base)
        plain = (there.scheme, there.hostname) == ("http", here.hostname) and here.scheme == "http"
        if "@" in there.netloc or not there.hostname or not (plain or there.scheme == "https"):
            raise OCIPullFailed(f"{self._wire.endpoint} sends us to {shown(realm)} for a token, which is not encrypted")

    def _ask(self, challenge: Challenge) -> _Held:
        fields = {"service": challenge.service, "scope": self._scope}
        url, login = challenge.realm, self._login
        if login.identity_token:
            grant = {"grant_type": "refresh_token", "refresh_token": login.identity_token, "client_id": "fleetbeat"}
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self._wire.elsewhere("POST", url, kind, urlencode({**grant, **fields}).encode())
        else:
            joined = f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(fields)}"
            response = self._wire.elsewhere("GET", joined, {"Authorization": login.basic} if login.basic else {})
        if response.status != 200:
            raise self._refusal(response, url)
        return self._held(self._wire.read(response, self._limits.token_bytes, shown(url)), shown(url))

    def _refusal(self, response: BaseHTTPResponse, url: str) -> FleetbeatError:
        finish(response)
        where = f"{self._wire.endpoint}: its token server {shown(url)}"
        if response.status in (400, 401, 403, 404):
            return AuthenticationFailed(f"{where} refused us (HTTP {response.status}); {self._wire.access.advice}")
        pause = later(response.headers.get("Retry-After"))
        return OCIPullFailed(f"{where} answered with HTTP {response.status}", retry_after=pause)

    def _held(self, body: bytes, where: str) -> _Held:
        try:
            answer = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise OCIPullFailed(f"{where}: the answer of the token server cannot be read") from None
        value = answer.token or answer.access_token
        if not value or not value.isascii() or not value.isprintable():
            raise OCIPullFailed(f"{where}: the answer of the token server holds no token")
        lasts = _SHORTEST if answer.expires_in is None else answer.expires_in
        return _Held(value, monotonic() + lasts - min(_MARGIN, lasts / 2))


def parse_challenge(header: str) -> Challenge | None:
    """What `WWW-Authenticate` asks for; a token server is preferred. None when it is nothing that we can do."""
    bearer = _BEARER.search(header)
    if bearer:
        found: dict[str, str] = {}
        position = bearer.end()
        while match := _PARAMETER.match(header, position):
            name, quoted, plain = match.groups()
            found.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain)
            position = match.end()
        if found.get("realm"):
            return Challenge(found["realm"], found.get("service", ""))
    return Challenge() if _BASIC.search(header) else None
