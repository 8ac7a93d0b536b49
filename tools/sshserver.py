"""A real sshd on 127.0.0.1 that serves bare repositories, for tests.

Owns its configuration, keys and process; it reads nothing of the machine's own ssh and serves Git alone. Users log in
as who runs it, because sshd knows no others. Repositories are made and written by `create`, see `tools/gitrepo.py`.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tools.gitrepo import GitRepo
from workers.embedded import ports

PACKAGE = "openssh-server"
_START_SECONDS = 15.0
_CONFIGURATION = """\
ListenAddress 127.0.0.1:{port}
{host_keys}
AuthorizedKeysFile {folder}/authorized_keys
AuthenticationMethods {methods}
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
LogLevel VERBOSE
MaxSessions {sessions}
MaxStartups 200
{protocol}
SetEnv GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
ForceCommand {command}
"""
_SERVE = 'git-shell -c "$SSH_ORIGINAL_COMMAND"'


class Missing(RuntimeError):
    """A program of this machine is not there."""


@dataclass(frozen=True)
class SshKey:
    """A key pair: `private` is a file's content, `public` its line without comment."""

    private: bytes
    public: str


def make_key(kind: str = "ed25519", passphrase: str = "", form: str = "openssh") -> SshKey:
    """A new key. `kind`: ed25519, ecdsa or rsa; `form`: openssh, pem (as old tools write it) or pkcs8."""
    key = _generated(kind)
    written = {
        "openssh": serialization.PrivateFormat.OpenSSH,
        "pem": serialization.PrivateFormat.TraditionalOpenSSL,
        "pkcs8": serialization.PrivateFormat.PKCS8,
    }[form]
    secrecy: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        secrecy = serialization.BestAvailableEncryption(passphrase.encode())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return SshKey(key.private_bytes(serialization.Encoding.PEM, written, secrecy), public.decode())


def _generated(kind: str) -> ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    match kind:
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "ecdsa":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            return rsa.generate_private_key(65537, 2048)


class SshServer:
    """The server; who may come in and which key it shows may change while it runs, stop and start keep the address."""

    def __init__(
        self,
        directory: Path,
        *,
        host_keys: Sequence[str] = ("ed25519",),
        sessions: int = 10,
        protocol_2: bool = True,
        methods: str = "publickey",
        command: str = _SERVE,
    ) -> None:
        """Repositories lie in `directory`. `host_keys` are kinds; `sessions` is how many channels one connection may
        have; without `protocol_2` the server hears nothing of Git's protocol versions; `methods` are what a login
        takes; `command` is run whatever a client asks for."""
        self.directory = directory.resolve()
        self.port = ports.reserve()
        self.user = getpass.getuser()
        self.host_keys = {kind: make_key(kind) for kind in host_keys}
        self._folder = self.directory / ".ssh"
        self._options = {"sessions": sessions, "methods": methods, "command": command}
        self._options["protocol"] = "AcceptEnv GIT_PROTOCOL" if protocol_2 else ""
        self._process: subprocess.Popen[bytes] | None = None
        self._folder.mkdir(parents=True, exist_ok=True)
        self.allow()

    @property
    def name(self) -> str:
        """As known_hosts writes it."""
        return f"[127.0.0.1]:{self.port}"

    @property
    def known_hosts(self) -> bytes:
        """What `ssh-keyscan` would print."""
        return "".join(f"{self.name} {key.public}\n" for key in self.host_keys.values()).encode()

    @property
    def log(self) -> str:
        """All that sshd wrote so far."""
        file = self._folder / "log"
        return file.read_text() if file.exists() else ""

    def url(self, name: str) -> str:
        """Where a repository is."""
        return f"ssh://{self.user}@127.0.0.1:{self.port}{self.directory}/{name}"

    def create(self, name: str) -> GitRepo:
        """A new bare repository (or the existing one of that name)."""
        return GitRepo(self.directory / name, self.url(name))

    def allow(self, *keys: SshKey) -> None:
        """From now on these may log in, and no others."""
        (self._folder / "authorized_keys").write_text("".join(f"{key.public}\n" for key in keys))

    def logins(self) -> int:
        """How many logins succeeded."""
        return self.log.count("Accepted publickey")

    def drop(self) -> None:
        """Break every connection there is; new ones are taken."""
        if self._process is not None:
            for child in psutil.Process(self._process.pid).children(recursive=True):
                child.kill()

    def start(self) -> None:
        """Serve; returns ready, or raises Missing or RuntimeError."""
        if self._process is not None:
            return
        options = ["-D", "-f", str(self._write()), "-E", str(self._folder / "log")]
        self._process = subprocess.Popen([find_sshd(), *options], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"sshd did not start:\n{self.log[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop listening; connections are then refused."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as opened:
                return opened.recv(4) == b"SSH-"
        except OSError:
            return False

    def _write(self) -> Path:
        """Keys and configuration as they are now."""
        lines = []
        for kind, key in self.host_keys.items():
            file = self._folder / f"host_{kind}"
            file.touch(0o600)
            file.write_bytes(key.private)
            lines.append(f"HostKey {file}")
        written = self._folder / "sshd_config"
        written.write_text(
            _CONFIGURATION.format(port=self.port, folder=self._folder, host_keys="\n".join(lines), **self._options)
        )
        return written

    def __enter__(self) -> SshServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def find_sshd() -> str:
    """sshd's path; it wants to be started by that."""
    found = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        raise Missing(f"sshd is not installed: run 'apt-get install {PACKAGE}' as root (its service is not needed)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # its own service would make it
    return found
