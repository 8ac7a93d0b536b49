"""Git over SSH with our rules of the road.

Owns one SSH connection for the length of a run, and a `git-upload-pack` on it for each question. The server's key is
checked against the Secret's known_hosts before anything is said; the only login is the Secret's key: no agent, no file
of this machine, no password, nothing learned. Timeouts, deadline and caps are those of HTTP; a timer closes the
connection at the deadline, whatever the library waits for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from dulwich.client import FetchPackResult, LsRemoteResult, TraditionalGitClient
from dulwich.errors import GitProtocolError
from dulwich.protocol import Protocol
from paramiko import Channel, PKey, Transport
from paramiko.ssh_exception import (
    AuthenticationException,
    BadAuthenticationType,
    ChannelException,
    IncompatiblePeer,
    SSHException,
)

from fleetbeat.errors import ArchiveInvalid, AuthenticationFailed, FleetbeatError, GitOperationFailed
from fleetbeat.sources.credentials import SshCredentials
from fleetbeat.sources.git.hostkeys import PORT, HostKeys, fingerprint, host_keys, keyscan
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.git.sshkey import load_key
from fleetbeat.sources.tunnel import dial

_STEP_SECONDS = 15.0
_READ_SECONDS = 30.0
_COMPLAINT_BYTES = 4096
_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""Type of a host key → the signatures that are taken for it; elsewhere they have the same name."""
_CIPHERS = (
    *("aes128-gcm@openssh.com", "aes256-gcm@openssh.com"),
    *("aes128-ctr", "aes192-ctr", "aes256-ctr"),
)
_NOT_FOUND = ("not found", "not appear to be a git repository", "not a git repository", "not exist", "not be found")
_SILENT = "fleetbeat.ssh"
"""The library's own log, which tells nothing that an error does not; a logger without handlers."""


class SshClient(TraditionalGitClient):
    """dulwich's protocol over channels of one SSH connection, which is made when first needed."""

    def __init__(self, url: str, credentials: SshCredentials, deadline: Deadline, limits: GitLimits) -> None:
        super().__init__(quiet=True)
        self._where = _Where(url)
        self._credentials = credentials
        self._deadline = deadline
        self._limits = limits
        self._cap = limits.refs_bytes
        self._transport: Transport | None = None
        self._open: list[Protocol] = []
        self._watchdog: threading.Timer | None = None

    def get_refs(
        self, path: bytes | str, protocol_version: int | None = None, ref_prefix: Any = None
    ) -> LsRemoteResult:
        """As its parent, for the URL's repository."""
        self._cap = self._limits.refs_bytes
        with self._told():
            return super().get_refs(b"", protocol_version, ref_prefix)

    def fetch_pack(self, path: bytes | str, *args: Any, **options: Any) -> FetchPackResult:
        """As its parent, for the URL's repository; lists no more references than it must."""
        self._cap = self._limits.refs_bytes + self._limits.pack_bytes
        with self._told():
            return super().fetch_pack(b"", *args, **{**options, "ref_prefix": [b"HEAD"]})

    def close(self) -> None:
        """Hang up."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        for protocol in self._open:
            protocol.close()
        if self._transport is not None:
            self._transport.close()

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], IO[bytes] | None]:
        session = _Session(self._channel(), self._deadline, self._cap)
        protocol = Protocol(session.read, session.write, session.close, shutdown_write=session.shutdown_write)
        self._open.append(protocol)
        session.run(b"git-" + cmd + b" " + _quoted(self._where.path))
        return protocol, session.can_read, session  # type: ignore[return-value]

    def _channel(self) -> Channel:
        """A new channel; a server that allows one for each connection gets a new connection."""
        used = self._transport is not None
        transport = self._transport or self._login()
        try:
            return transport.open_session(timeout=min(_STEP_SECONDS, self._deadline.left()))
        except (SSHException, EOFError, OSError):
            if not used:
                raise
        transport.close()
        return self._login().open_session(timeout=min(_STEP_SECONDS, self._deadline.left()))

    def _login(self) -> Transport:
        """A connection to the right server, as the right user."""
        where, account = self._where, self._credentials
        trusted = host_keys(account.known_hosts, where.host, where.port)
        key = load_key(account.identity, account.passphrase, account.origin)
        self._transport = transport = Transport(dial(where.host, where.port, account.proxy, self._deadline))
        self._watch(transport)
        self._shake_hands(transport, trusted)
        self._authenticate(transport, key)
        return transport

    def _watch(self, transport: Transport) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = threading.Timer(self._deadline.left(), transport.close)
        self._watchdog.daemon = True
        self._watchdog.start()

    def _shake_hands(self, transport: Transport, trusted: HostKeys) -> None:
        transport.set_log_channel(_SILENT)
        seconds = min(_STEP_SECONDS, self._deadline.left())
        transport.banner_timeout = transport.handshake_timeout = seconds
        options = transport.get_security_options()
        offered = [name for kind in sorted(trusted.kinds) for name in _ALGORITHMS.get(kind, (kind,))]
        usable = [name for name in options.key_types if name in offered]
        if not usable:
            raise AuthenticationFailed(f"the keys of {trusted.name} in known_hosts are of no type that is supported")
        options.key_types, options.ciphers = usable, _CIPHERS
        try:
            transport.start_client(timeout=seconds)
            key = transport.get_remote_server_key()
        except IncompatiblePeer:
            raise AuthenticationFailed(
                f"{trusted.name} has no host key of the types in known_hosts ({', '.join(sorted(trusted.kinds))}), or"
                f" no cipher in common; compare with {keyscan(trusted.name)}"
            ) from None
        except (SSHException, EOFError, OSError):
            self._deadline.left()
            raise GitOperationFailed("the server did not answer as an SSH server does; check host and port") from None
        trusted.check(key.asbytes())

    def _authenticate(self, transport: Transport, key: PKey) -> None:
        transport.auth_timeout = min(_STEP_SECONDS, self._deadline.left())
        shown = f"{key.get_name()} {fingerprint(key.asbytes())}"
        try:
            more = transport.auth_publickey(self._where.user, key)
        except BadAuthenticationType:
            raise AuthenticationFailed(f"the server lets user {self._where.user} not log in by key") from None
        except (AuthenticationException, SSHException, EOFError, OSError) as error:
            if "timeout" in str(error).lower():
                raise GitOperationFailed("the server did not answer in time") from None
            raise AuthenticationFailed(
                f"the server refused user {self._where.user} with the key {shown}; add its public key there"
            ) from None
        if more:
            raise AuthenticationFailed(f"the server wants more than a key of user {self._where.user}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the connection and complaints of the server in our words, with the URL."""
        try:
            yield
        except FleetbeatError as error:
            raise type(error)(f"{self._where.url}: {error.message}") from error
        except GitProtocolError as error:
            text = str(error)
            if any(sign in text.lower() for sign in _NOT_FOUND):
                raise GitOperationFailed(
                    f"{self._where.url}: repository not found; check spec.url and what the key may read (the server"
                    f" says: {text})"
                ) from error
            raise
        except (SSHException, ChannelException, EOFError, OSError) as error:
            self._deadline.left()
            raise GitOperationFailed(f"{self._where.url}: the connection broke: {type(error).__name__}") from error


class _Where:
    """A `Plan`'s URL, taken apart."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.user = unquote(parts.username or "git")
        self.host = parts.hostname or ""
        self.port = parts.port or PORT
        path = unquote(parts.path)
        self.path = path[1:] if path.startswith("/~") else path


def _quoted(path: str) -> bytes:
    """For the shell of the server, as Git quotes it."""
    return b"'" + path.encode().replace(b"'", b"'\\''").replace(b"!", b"'\\!'") + b"'"


class _Session:
    """One `git-upload-pack`: what dulwich reads, writes and, when it ends early, asks for its complaint."""

    def __init__(self, channel: Channel, deadline: Deadline, cap: int) -> None:
        self._channel = channel
        self._deadline = deadline
        self._left = cap
        self.close = channel.close
        self.can_read = channel.recv_ready
        self.shutdown_write = channel.shutdown_write

    def run(self, command: bytes) -> None:
        """Start it, asking for protocol version 2; a server that knows nothing of that speaks an older one."""
        self._channel.set_environment_variable("GIT_PROTOCOL", "version=2")
        try:
            self._channel.exec_command(command)
        except (SSHException, EOFError):
            self._deadline.left()
            raise GitOperationFailed("the server does not run git-upload-pack for this user") from None

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end only; looks at the clock whenever something arrives."""
        data = bytearray()
        while len(data) < size and (piece := self._piece(size - len(data), self._channel.recv)):
            data += piece
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveInvalid("the server sent more than a repository may have; split it or use a smaller one")
        return bytes(data)

    def write(self, data: bytes) -> int:
        """All of it."""
        self._channel.settimeout(min(_READ_SECONDS, self._deadline.left()))
        try:
            self._channel.sendall(data)
        except TimeoutError:
            self._deadline.left()
            raise GitOperationFailed("the server did not answer in time") from None
        except OSError:  # it ended, and what it says tells why
            raise GitProtocolError(self._complaint() or "the server closed the connection") from None
        return len(data)

    def readlines(self) -> list[bytes]:
        """What it complained of: one printable line, or none."""
        text = self._complaint()
        return [text.encode()] if text else []

    def _complaint(self) -> str:
        data = bytearray()
        while len(data) < _COMPLAINT_BYTES and (piece := self._piece(_COMPLAINT_BYTES, self._channel.recv_stderr)):
            data += piece
        text = " ".join(data[:_COMPLAINT_BYTES].decode("utf-8", "replace").split())
        return "".join(character if character.isprintable() else "?" for character in text)[:300]

    def _piece(self, size: int, receive: Callable[[int], bytes]) -> bytes:
        self._channel.settimeout(min(_READ_SECONDS, self._deadline.left()))
        try:
            return receive(size)
        except TimeoutError:
            self._deadline.left()
            raise GitOperationFailed("the server did not answer in time") from None
