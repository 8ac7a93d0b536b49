"""Ports that stay ours while their server is down."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from workers.embedded import ports

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]


def test_ports_are_distinct_bindable_and_not_ephemeral() -> None:
    """Each reserved port is new, can be bound, and is never given to outgoing connections."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    reserved = [ports.reserve() for _ in range(20)]
    assert len(set(reserved)) == 20
    assert all(port < lowest for port in reserved)
    with socket.socket() as server:
        server.bind(("127.0.0.1", reserved[0]))


def test_another_process_does_not_get_a_reserved_port() -> None:
    """Processes that reserve at the same time get different ports."""
    ours = {ports.reserve() for _ in range(50)}
    code = "from workers.embedded import ports; print(*(ports.reserve() for _ in range(300)))"
    theirs = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ours.isdisjoint(map(int, theirs.split()))
