"""Vendors by script, and a worker that has an identity of its own there."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import pytest

from fleetbeat.artifacts import store
from fleetbeat.sources.git import vendors as git_vendors
from fleetbeat.sources.oci import vendors
from fleetbeat.sources.tokens import TOKENS
from tests.support.fakeregistry import FakeRegistry
from tests.support.vendorapis import answer, scripted_sts


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It has an identity of its own at AWS, which serves no test, and no login of another test."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWORKER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "workers")
    _forget()
    yield
    _forget()


def _forget() -> None:
    store.session.cache_clear()
    git_vendors._session.cache_clear()
    for held in (TOKENS, git_vendors._roles, vendors._held):
        held.clear()


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, list[str]]]]:
    """Amazon's token service."""
    with scripted_sts(monkeypatch) as forms:
        yield forms


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    """A server by script."""
    with FakeRegistry() as running:
        yield running


@pytest.fixture
def ecr(fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    """Amazon's registry, which gives everybody the same password."""
    token = base64.b64encode(b"AWS:secret").decode()
    fake.on("/", answer({"authorizationData": [{"authorizationToken": token, "expiresAt": time.time() + 3600}]}))
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", f"http://{fake.host}")
    return fake
