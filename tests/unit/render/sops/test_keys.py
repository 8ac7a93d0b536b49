"""Key material out of a Secret: what is read, by what name, and what is refused without quoting it."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from fleetbeat.errors import BuildFailed
from fleetbeat.render.engine import Engine, Sealed
from fleetbeat.render.sops.keys import Keys, keys_of, only_age
from fleetbeat.render.sops.unseal import Unsealer
from tests.support.sopstool import SopsTool

pytestmark = pytest.mark.unit

TEXT = "password: hunter2\n"
ARMORED = b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nHUNTER2\n-----END PGP PRIVATE KEY BLOCK-----\n"
PAIRS = {
    "flux-guide": "Key-Type: 1\nKey-Length: 2048\nSubkey-Type: 1\nSubkey-Length: 2048",
    "usual-rsa": "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign\nSubkey-Type: RSA\nSubkey-Length: 2048\n"
    "Subkey-Usage: encrypt",
    "curves": "Key-Type: EDDSA\nKey-Curve: ed25519\nSubkey-Type: ECDH\nSubkey-Curve: cv25519",
}


def opened(engine: Engine, sealed: str, keys: Keys) -> str:
    return Unsealer(engine, keys).files([Sealed(path="x", format="yaml", text=sealed.encode())])["x"].decode()


def test_any_recipient_will_do(engine: Engine, tool: SopsTool) -> None:
    """A file for several people opens with the key of each, from a key file with several keys."""
    other = SopsTool(tool.folder)
    sealed = tool.encrypt(TEXT, age=f"{tool.recipient},{other.recipient}")
    for keys in (tool.agekey, other.agekey, SopsTool(tool.folder).agekey + other.agekey):
        assert opened(engine, sealed, keys_of({"k.agekey": keys.encode()}, "Secret a/b")) == TEXT


def test_key_groups_need_as_many_as_the_threshold(engine: Engine, tool: SopsTool) -> None:
    """Shamir's secret sharing: any two of three, and not one."""
    people = [SopsTool(tool.folder) for _ in range(3)]
    groups = [{"age": [person.recipient]} for person in people]
    sealed = tool.encrypt(TEXT, key_groups=groups, shamir_threshold=2)
    for pair in ((0, 1), (1, 2), (2, 0)):
        data = {f"{at}.agekey": people[at].agekey.encode() for at in pair}
        assert opened(engine, sealed, keys_of(data, "Secret a/b")) == TEXT
    with pytest.raises(BuildFailed, match="1 of 2 key groups opened"):
        opened(engine, sealed, keys_of({"a.agekey": people[0].agekey.encode()}, "Secret a/b"))


class GnuPG:
    """A key ring in a folder."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self.env = {"GNUPGHOME": str(home)}

    def run(self, *arguments: str, stdin: str = "") -> str:
        command = ["gpg", "--batch", "--pinentry-mode", "loopback", *arguments]
        env = {**os.environ, **self.env}
        return subprocess.run(command, input=stdin, env=env, check=True, capture_output=True, text=True).stdout

    def generate(self, parameters: str, protection: str = "%no-protection") -> str:
        """The fingerprint of a new key."""
        self.run("--gen-key", stdin=f"{parameters}\n{protection}\nName-Real: somebody\nExpire-Date: 0\n%commit\n")
        lines = [line.split(":") for line in self.run("--list-keys", "--with-colons").splitlines()]
        return [line[9] for before, line in pairwise(lines) if before[0] == "pub"][-1]

    def close(self) -> None:
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, **self.env}, check=True)


@pytest.fixture
def gpg(tmp_path: Path) -> GnuPG:
    """A GnuPG of its own; its agent ends with its folder."""
    return GnuPG(tmp_path / "gnupg")


def test_pgp_keys_of_every_kind(engine: Engine, tool: SopsTool, gpg: GnuPG) -> None:
    """One export of several secret keys, with subkeys for encryption; and public keys between them."""
    tool.env = gpg.env
    try:
        prints = [gpg.generate(parameters) for parameters in PAIRS.values()]
        armored = gpg.run("--armor", "--export-secret-keys")
        each = [gpg.run("--armor", "--export-secret-keys", one) for one in prints]
        public = gpg.run("--armor", "--export")
        for fingerprint in prints:
            sealed = tool.encrypt(TEXT, pgp=fingerprint)
            for data in ({"all.asc": armored}, {"all.asc": public + "".join(each)}):
                keys = keys_of({name: value.encode() for name, value in data.items()}, "Secret a/b")
                assert opened(engine, sealed, keys) == TEXT
        first = keys_of({"a.asc": each[0].encode()}, "Secret a/b")
        with pytest.raises(BuildFailed, match=f"no secret key of the PGP fingerprint {prints[2]}"):
            opened(engine, sealed, first)
        with pytest.raises(BuildFailed, match=r"Secret a/b: key 'p.asc' holds no secret PGP key"):
            keys_of({"p.asc": public.encode()}, "Secret a/b")
    finally:
        gpg.close()


def test_a_pgp_key_with_a_passphrase_is_refused(gpg: GnuPG) -> None:
    """Nobody could type it; the message says how to export without one."""
    try:
        gpg.generate(PAIRS["curves"], "Passphrase: sesame")
        armored = gpg.run("--passphrase", "sesame", "--armor", "--export-secret-keys")
        with pytest.raises(BuildFailed, match=r"Secret a/b: key 'p.asc' has a passphrase"):
            keys_of({"p.asc": armored.encode()}, "Secret a/b")
    finally:
        gpg.close()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("a.agekey", b"AGE-SECRET-KEY-1HUNTER2", "line 1: the age identity is damaged"),
        ("a.agekey", b"# nothing\n", "holds no age identity"),
        ("a.agekey", b"# x\nAGE-SECRET-KEY-PQ-1HUNTER2", "line 2 is no age identity"),
        ("a.agekey", b"\xff\xfe", "line 1 is no age identity"),
        ("a.asc", b"HUNTER2", "holds no secret PGP key"),
        (
            "a.asc",
            b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nHUNTER2\n-----END PGP PRIVATE KEY BLOCK-----\n",
            "armored",
        ),
        ("sops.aws-kms", b"[HUNTER2]", "no mapping"),
        ("sops.gcp-kms", b"{HUNTER2", "neither YAML nor JSON"),
        ("sops.vault-token", b"HUNTER2 HUNTER2", "spaces or line breaks"),
    ],
)
def test_damaged_keys_are_named_and_not_quoted(name: str, value: bytes, says: str) -> None:
    """The Secret and its entry."""
    with pytest.raises(BuildFailed) as failure:
        keys_of({name: value}, "Secret a/b")
    assert f"Secret a/b: key {name!r}" in failure.value.message
    assert says in failure.value.message
    assert "HUNTER2" not in failure.value.message


def test_other_entries_are_left_alone(tool: SopsTool) -> None:
    """A Secret may hold more; a common one gives away its age keys only, and no key shows in a repr."""
    data = {
        "readme": b"x",
        "a.agekey": tool.agekey.encode(),
        "sops.vault-token": b" token\n",
        "sops.aws-kms": b"{a: b}",
    }
    keys = keys_of(data, "Secret a/b")
    assert (len(keys.age), keys.vault_token, keys.aws) == (1, "token", {"a": "b"})
    common = only_age(data, "Secret a/b")
    assert (len(common.age), common.vault_token, common.aws) == (1, "", None)
    assert repr(keys) == "Keys(where='Secret a/b')"


def test_damaged_ciphertext_of_a_data_key(engine: Engine, tool: SopsTool, keys: Keys) -> None:
    """As good as a key that is not ours."""
    obj = yaml.safe_load(tool.encrypt(TEXT))
    obj["sops"]["age"][0]["enc"] = "-----BEGIN AGE ENCRYPTED FILE-----\nhunter2\n-----END AGE ENCRYPTED FILE-----\n"
    with pytest.raises(BuildFailed, match="cannot be decrypted with Secret team/keys"):
        opened(engine, yaml.safe_dump(obj, sort_keys=False), keys)
