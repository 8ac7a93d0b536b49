"""Encrypting as users do: with the real `sops` and fresh keys. It is also the oracle for what decryption must give."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pyrage.x25519 import Identity

KEYS = {"age", "pgp", "kms", "gcp_kms", "azure_keyvault", "hc_vault_transit_uri", "key_groups"}


@dataclass
class SopsTool:
    """A folder to work in and an age key pair."""

    folder: Path
    identity: Identity = field(default_factory=Identity.generate)
    env: dict[str, str] = field(default_factory=dict)

    @property
    def recipient(self) -> str:
        """What is encrypted to."""
        return str(self.identity.to_public())

    @property
    def agekey(self) -> str:
        """The key file as age-keygen writes it."""
        return f"# created: today\n# public key: {self.recipient}\n{self.identity}\n"

    def encrypt(self, text: str | bytes, name: str = "secret.yaml", **rule: Any) -> str:
        """`text` encrypted in the format that the name stands for; `rule` are fields of a creation rule.

        Without any key in the rule, to the age key.
        """
        keys = {} if KEYS & rule.keys() else {"age": self.recipient}
        (self.folder / ".sops.yaml").write_text(yaml.safe_dump({"creation_rules": [{**keys, **rule}]}))
        return self.run("encrypt", self._write(text, name))

    def object(self, text: str, name: str = "secret.yaml", **rule: Any) -> str:
        """The same for an object of Kubernetes: metadata stays readable."""
        return self.encrypt(text, name, encrypted_regex="^(data|stringData)$", **rule)

    def decrypt(self, text: str, name: str = "secret.yaml") -> bytes:
        """What sops makes of an encrypted text."""
        return self.run("decrypt", self._write(text, name)).encode()

    def run(self, *arguments: str) -> str:
        """The output of sops; fails the test when it fails."""
        program = Path(sys.executable).with_name("sops")
        env = {**os.environ, "SOPS_AGE_KEY": str(self.identity), "HOME": str(self.folder), **self.env}
        done = subprocess.run(
            [program, "--disable-version-check", *arguments], cwd=self.folder, env=env, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def _write(self, text: str | bytes, name: str) -> str:
        (self.folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return name
