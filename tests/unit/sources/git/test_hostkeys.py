"""known_hosts: whom a line is about, and which key it may show."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.sources.git.hostkeys import fingerprint, host_keys
from tools.sshserver import make_key

pytestmark = pytest.mark.unit

KEY, OTHER = make_key().public, make_key().public
BLOB, OTHER_BLOB = (base64.b64decode(key.split()[1]) for key in (KEY, OTHER))


def filled(text: str) -> bytes:
    """Lines with keys for their placeholders."""
    return text.replace("KEY", KEY).replace("OTHER", OTHER).replace("BLOB", KEY.split()[1]).encode()


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("git.example KEY", 22),
        ("GIT.example,10.0.0.1 KEY a comment", 22),
        ("  *.example KEY\r", 22),
        ("git.exampl? KEY", 22),
        ("[git.example]:2222 KEY", 2222),
        ("[git.example]:* KEY", 2222),
        ("# comment\n\nbroken\ngit.example ssh-ed25519 ===\ngit.example KEY", 22),
        ("git.example KEY\n@revoked git.example OTHER", 22),
        ("!other.example,*.example KEY", 22),
    ],
)
def test_lines_about_a_server(line: str, port: int) -> None:
    """Names in any case, patterns, ports; what cannot be read is passed over."""
    found = host_keys(filled(line), "git.example", port)
    found.check(BLOB)
    assert found.kinds == {"ssh-ed25519"}
    with pytest.raises(AuthenticationFailed):
        found.check(OTHER_BLOB)


@pytest.mark.parametrize("name", ["git.example", "[git.example]:2222"])
def test_hashed_names(tmp_path: Path, name: str) -> None:
    """As `ssh-keygen -H` writes them."""
    file = tmp_path / "known_hosts"
    file.write_text(f"{name} {KEY}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert "git.example" not in file.read_text()
    port = 2222 if "2222" in name else 22
    host_keys(file.read_bytes(), "git.example", port).check(BLOB)
    with pytest.raises(AuthenticationFailed, match="has no key of"):
        host_keys(file.read_bytes(), "other.example", port)


@pytest.mark.parametrize(
    ("text", "port", "message"),
    [
        ("", 22, r"no key of git.example; .*\(ssh-keyscan git.example\)"),
        ("other.example KEY", 22, "no key of git.example"),
        ("git.example KEY", 2222, r"no key of \[git.example\]:2222; .*ssh-keyscan -p 2222 git.example"),
        ("[git.example]:2222 KEY", 22, "no key of git.example"),
        ("*.example,!git.example KEY", 22, "no key of git.example"),
        ("gitXexample KEY", 22, "no key of git.example"),
        ("@cert-authority *.example KEY", 22, "only a @cert-authority, which is not supported"),
        ("git.example KEY\n@revoked * KEY", 22, "no key of git.example"),
        ("git.example ssh-rsa BLOB", 22, "no key of git.example"),
        ("|1|AAAA|!!|x ssh-ed25519 AAAA", 22, "no key of git.example"),
    ],
)
def test_unknown_servers(text: str, port: int, message: str) -> None:
    """Nobody is trusted by default; the message says which line is missing and how to get it."""
    with pytest.raises(AuthenticationFailed, match=message):
        host_keys(filled(text), "git.example", port)


def test_a_revoked_key_is_named_as_such() -> None:
    """Even though another key of the server is trusted."""
    found = host_keys(f"git.example {OTHER}\n@revoked git.example {KEY}".encode(), "git.example", 22)
    with pytest.raises(AuthenticationFailed, match="revoked"):
        found.check(BLOB)


def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    """So that they can be compared."""
    (tmp_path / "key.pub").write_text(KEY)
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")], capture_output=True, check=True)
    assert fingerprint(BLOB) == shown.stdout.decode().split()[1]
