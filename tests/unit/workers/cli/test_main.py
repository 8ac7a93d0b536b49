"""The command line itself: help, start-up, errors."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workers.cli.main import ROLES, app
from workers.roles import ROLES as RUNNABLE

pytestmark = pytest.mark.unit

HEAVY = {
    "celery",
    "kombu",
    "boto3",
    "botocore",
    "kubernetes",
    "pydantic",
    "aiohttp",
    "redis",
    "rich.console",
    "dulwich",
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_every_command_has_help() -> None:
    """Help lists all commands with a line each that is not cut."""
    ran = run("-m", "workers.cli.main", "--help")
    assert ran.returncode == 0
    listed = ran.stdout.partition("Commands:")[2]
    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    names |= {str(group.name) for group in app.registered_groups}
    assert names == {line.split()[0] for line in listed.splitlines() if line.strip()}
    assert "..." not in listed


@pytest.mark.parametrize(
    "module", ["main", "get", "reconcile", "suspend", "events", "explain", "install", "kustomization"]
)
def test_commands_start_without_heavy_imports(module: str) -> None:
    """What a command does not need is not loaded: start-up time is import time."""
    ran = run("-c", f"import sys, workers.cli.{module}; print(*sys.modules)")
    assert ran.returncode == 0, ran.stderr
    assert not HEAVY & set(ran.stdout.split())


def test_start_knows_every_role() -> None:
    """The roles of the command line are those that can be run, and a wrong one is one line."""
    assert set(ROLES) == set(RUNNABLE)
    ran = run("-m", "workers.cli.main", "start", "everything")
    assert ran.returncode == 1
    assert "use one of hub, beat" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_bad_options_are_usage_errors() -> None:
    """Exit code 2, as with any command."""
    assert run("-m", "workers.cli.main", "get", "--nope").returncode == 2


@pytest.mark.parametrize("timeout", ["soon", "-1s", "5"])
def test_a_bad_timeout_names_the_form(timeout: str) -> None:
    """Durations are Kubernetes' own."""
    ran = run("-m", "workers.cli.main", "reconcile", "ks", "apps", f"--timeout={timeout}")
    assert ran.returncode == 1
    assert "90s or 5m" in ran.stderr
