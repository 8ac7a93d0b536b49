"""What the registry client's tests share: real registries, one of each kind of login, and a scripted one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.fakeregistry import FakeRegistry
from tools.registry import RegistryServer

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tls": {"tls": True},
    "password": {"account": ("robot", "pass:word")},
    "tokens": {"tokens": True, "account": ("robot", "pass:word")},
    "tls-tokens": {"tls": True, "tokens": True, "account": ("robot", "pass:word")},
    "anonymous-tokens": {"tokens": True},
    "client-certificate": {"client_certificates": True, "account": ("robot", "pass:word")},
}
Servers = Callable[[str], RegistryServer]


@pytest.fixture(scope="session")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """`registries(kind)`: a real registry of that kind, started on first use."""
    with ExitStack() as stack:
        running: dict[str, RegistryServer] = {}

        def get(kind: str) -> RegistryServer:
            if kind not in running:
                running[kind] = stack.enter_context(RegistryServer(tmp_path_factory.mktemp(kind), **KINDS[kind]))
            return running[kind]

        yield get


@pytest.fixture
def registry(registries: Servers) -> RegistryServer:
    """The plain registry."""
    return registries("plain")


@pytest.fixture
def name() -> str:
    """A fresh repository name."""
    return f"org/r-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    """A registry that does what the test says."""
    with FakeRegistry() as server:
        yield server
