"""Servers as children: started once, stopped in time, never orphaned."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.support.wait import until
from workers.embedded.process import Server, ServerFailed

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]

PARENT = """
import sys, time
from pathlib import Path
from workers.embedded.process import Server
server = Server("sleeper", ["/bin/sleep", "600"], Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the server under test logs."""
    return tmp_path / "server.log"


def test_a_killed_parent_takes_its_servers_along(log: Path) -> None:
    """SIGKILL of the parent ends the child at once."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(log)], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        until(lambda: "sleep" in child.name())
        parent.kill()
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, timeout=5)


def test_a_server_outlives_the_thread_that_started_it(log: Path) -> None:
    """The parent-death signal follows the process, not the starting thread."""
    server = Server("sleeper", ["/bin/sleep", "600"], log)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    try:
        assert server.pid is not None
        with pytest.raises(psutil.TimeoutExpired):
            psutil.Process(server.pid).wait(0.3)
    finally:
        server.kill()


def test_stop_kills_what_ignores_it(log: Path) -> None:
    """A server that ignores SIGTERM is killed after the timeout."""
    server = Server("deaf", ["/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"], log)
    server.start()
    server.wait_ready(lambda: "deaf" in log.read_text())
    process = psutil.Process(server.pid)
    server.stop(timeout=0.2)
    assert server.pid is None
    assert not process.is_running()


def test_start_and_stop_may_be_repeated(log: Path) -> None:
    """A second start keeps the process; a second stop does nothing."""
    server = Server("sleeper", ["/bin/sleep", "600"], log)
    server.start()
    first = server.pid
    server.start()
    assert server.pid == first
    server.stop()
    server.stop()
    assert server.pid is None


def test_a_server_that_ends_at_start_shows_its_log(log: Path) -> None:
    """The error carries what the server said."""
    server = Server("broken", ["/bin/sh", "-c", "echo port is taken; exit 3"], log)
    server.start()
    with pytest.raises(ServerFailed, match="port is taken"):
        server.wait_ready(lambda: False)


def test_a_terminal_interrupt_does_not_reach_servers(log: Path) -> None:
    """Ctrl-C goes to the process group of the terminal; servers have a session of their own."""
    server = Server("sleeper", ["/bin/sleep", "600"], log)
    server.start()
    try:
        assert server.pid is not None
        assert os.getsid(server.pid) == server.pid
    finally:
        server.kill()
