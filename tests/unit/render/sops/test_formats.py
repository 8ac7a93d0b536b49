"""Whole files of every format, byte for byte what sops itself decrypts them to."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.render.engine import Engine, Sealed
from fleetbeat.render.sops.keys import Keys
from fleetbeat.render.sops.unseal import Unsealer
from tests.support.sopstool import SopsTool

pytestmark = pytest.mark.unit

YAML = """\
# what this is for
text: plain
number: 12
big: 9007199254740993
negative: -3
float: 3.50
exponent: 1e3
octal: 0o17
yes: yes
truth: true
nothing: null
empty: ""
emptylist: []
when: 2024-05-01T10:11:12Z
day: 2024-05-01
zip: "01234"
odd: "yes"
unicode: "grüße 😀"
multi: |
  line one
  line two
folded: >-
  one
  two
nested:
  # about a
  a: 1 # behind a
  list:
    # first
    - x
    - 2
    - deeper: [1, 2]
      again: z
quoted: "a: b # c"
# at the end
"""
PLAIN = {
    "secret.yaml": YAML,
    "two.yaml": "a: 1\nb: x\n---\nc: y\na: 2\n",
    "secret.json": '{"b": "x<&>", "a": {"n": 1, "f": 1.5, "l": [1, "two", null, true, {"k": "v"}]}, "e": ""}',
    "secret.env": "# comment\nPASSWORD=hunter2\nEMPTY=\nSPACES=a b = c\nLINES=a\\nb\n",
    "secret.ini": '[one]\n; about a\na = 1\nlong_name = b c\n\n[two]\nquoted = "x;y"\nurl = http://a/b?c=d\n',
    "secret.bin": "any bytes\n\tat all",
}
FORMATS = {"yaml": "yaml", "json": "json", "env": "dotenv", "ini": "ini", "bin": "binary"}


@pytest.mark.parametrize("name", PLAIN)
def test_a_file_becomes_what_sops_makes_of_it(engine: Engine, tool: SopsTool, keys: Keys, name: str) -> None:
    """Values, types, order, comments and layout."""
    sealed = tool.encrypt(PLAIN[name], name)
    wanted = tool.decrypt(sealed, name)
    file = Sealed(path=name, format=FORMATS[name.rpartition(".")[2]], text=sealed.encode())
    assert Unsealer(engine, keys).files([file])[name] == wanted


RULES: dict[str, dict[str, Any]] = {
    "encrypted-regex": {"encrypted_regex": "^(secret|list)$"},
    "unencrypted-regex": {"unencrypted_regex": "^plain"},
    "encrypted-suffix": {"encrypted_suffix": "_secret"},
    "unencrypted-suffix": {"unencrypted_suffix": "_open"},
    "encrypted-comment": {"encrypted_comment_regex": "sops:enc"},
    "unencrypted-comment": {"unencrypted_comment_regex": "sops:open"},
    "mac-only": {"encrypted_regex": "^secret$", "mac_only_encrypted": True},
}
RULED = """\
plain: {kept: true, at: 2024-05-01, count: 07, ratio: 1.10}
secret: {a: 1, b_open: x, c_secret: y}
# sops:enc
marked: v
after: w
# sops:open
free: u # sops:enc
list: [1, {secret: 2}]
c_secret: z
b_open: q
"""


@pytest.mark.parametrize("rule", RULES)
def test_the_rules_of_what_is_encrypted_are_those_of_sops(
    engine: Engine, tool: SopsTool, keys: Keys, rule: str
) -> None:
    """Values outside of the rule stay, and still count for the MAC unless mac_only_encrypted is set."""
    sealed = tool.encrypt(RULED, **RULES[rule])
    file = Sealed(path="secret.yaml", format="yaml", text=sealed.encode())
    assert Unsealer(engine, keys).files([file])["secret.yaml"] == tool.decrypt(sealed)
