"""Decoding from many threads at once, from the first moment of a process."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
PACKAGES = ("fleetbeat", "tasks", "beat", "workers")
BUILTIN = {"dict", "list", "str", "Any"}

RACE = """
import sys, threading
from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS

sys.setswitchinterval(1e-6)
spec = {
    "interval": "1m", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "a"},
    "kubeConfig": {"secretRef": {"name": "a"}}, "dependsOn": [{"name": "a"}],
    "patches": [{"patch": "a", "target": {"kind": "a"}}],
}
together = threading.Barrier(8)

def decode():
    together.wait()
    decode_spec(KINDS["Kustomization"], {"metadata": {"name": "a", "namespace": "a"}, "spec": spec})

threads = [threading.Thread(target=decode) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_the_first_decoding_may_happen_in_many_threads() -> None:
    """msgspec crashes the process when two threads meet a type for the first time: all are known before."""
    children = [subprocess.Popen([sys.executable, "-c", RACE]) for _ in range(6)]
    assert [child.wait(60) for child in children] == [0] * 6


@pytest.mark.parametrize("package", PACKAGES)
def test_decoders_are_made_while_modules_load(package: str) -> None:
    """No function hands a type of its own to `json.decode`; it uses a decoder of its module."""
    found = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for file in sorted((ROOT / package).rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "decode"
        for keyword in call.keywords
        if keyword.arg == "type" and not BUILTIN & {n.id for n in ast.walk(keyword.value) if isinstance(n, ast.Name)}
    ]
    assert found == []
