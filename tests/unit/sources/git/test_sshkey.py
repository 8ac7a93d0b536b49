"""Private keys of a Secret: every form that tools write, and words for what is none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import x25519

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.sources.git.sshkey import load_key
from tools.pki import Authority
from tools.sshserver import make_key

pytestmark = pytest.mark.unit

PASSPHRASE = "SECRET phräse"


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
@pytest.mark.parametrize(
    ("kind", "form"),
    [
        *[("ed25519", "openssh"), ("ed25519", "pkcs8")],
        *[("ecdsa", "openssh"), ("ecdsa", "pem"), ("ecdsa", "pkcs8")],
        *[("rsa", "openssh"), ("rsa", "pem"), ("rsa", "pkcs8")],
    ],
)
def test_forms_of_keys(kind: str, form: str, passphrase: str) -> None:
    """Ed25519, ECDSA and RSA, with and without a passphrase."""
    made = make_key(kind, passphrase, form)
    assert load_key(made.private, passphrase.encode() or None).get_base64() == made.public.split()[1]


@pytest.mark.parametrize("options", [["-t", "ed25519"], ["-t", "ecdsa", "-b", "521"], ["-t", "rsa", "-b", "3072"]])
def test_keys_of_ssh_keygen(tmp_path: Path, options: list[str]) -> None:
    """The tool that people use, with its own encryption; Windows' line ends and blanks do no harm."""
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", *options, "-N", "pass", "-f", str(file)], check=True)
    text = b"\n" + file.read_bytes().replace(b"\n", b"\r\n")
    assert load_key(text, b"pass").get_base64() in file.with_suffix(".pub").read_text()


def test_a_passphrase_that_is_not_needed() -> None:
    """It does no harm."""
    for form in ("openssh", "pem"):
        load_key(make_key("rsa", form=form).private, b"unused")


@pytest.mark.parametrize("form", ["openssh", "pem", "pkcs8"])
def test_passphrases_that_do_not_fit(form: str) -> None:
    """A wrong and a missing one are told apart, and not repeated."""
    made = make_key("rsa", "right", form).private
    with pytest.raises(AuthenticationFailed, match=r"passphrase in the key password .* does not open") as wrong:
        load_key(made, PASSPHRASE.encode())
    assert "SECRET" not in str(wrong.value)
    with pytest.raises(AuthenticationFailed, match=r"has a passphrase; put it into the key password"):
        load_key(made, None)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (b"SECRET", "no private key that can be read"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET\n-----END OPENSSH PRIVATE KEY-----", "no private key"),
        (make_key().private[:100], "no private key"),
        (make_key().public.encode(), "is a public key"),
        (b"PuTTY-User-Key-File-3: ssh-ed25519\nSECRET", "PuTTY's format"),
        (Authority("SECRET").certificate, "is a certificate"),
    ],
    ids=["text", "garbage", "truncated", "public", "putty", "certificate"],
)
def test_what_is_no_key(identity: bytes, message: str) -> None:
    """The message says what to put there and shows nothing of it."""
    with pytest.raises(AuthenticationFailed, match=f"the key identity of Secret apps/git .*{message}") as caught:
        load_key(identity, None, "Secret apps/git")
    assert "SECRET" not in str(caught.value)


def test_a_key_of_a_kind_that_ssh_does_not_take() -> None:
    """X25519 keys look like Ed25519 ones."""
    made = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(AuthenticationFailed, match="of the type X25519; use Ed25519, ECDSA or RSA"):
        load_key(made, None)
