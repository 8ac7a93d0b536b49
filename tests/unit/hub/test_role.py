"""Roles: one at a time, stand-by, loss, and clean ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from fleetbeat.errors import Rebuilding
from fleetbeat.hub import role
from fleetbeat.hub.role import Duty, Tenure, hold
from fleetbeat.state import State
from tests.support.background import running
from tests.support.wait import until
from workers.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of little more than a second."""
    monkeypatch.setattr(role, "LEASE_SECONDS", 1.5)
    monkeypatch.setattr(role, "RENEW_EVERY", 0.2)
    monkeypatch.setattr(role, "MARGIN", 0.5)
    monkeypatch.setattr(role, "STAND_BY", 0.1)
    monkeypatch.setattr(role, "PAUSES", (0.05, 0.1))


@contextmanager
def _holding(url: str, duty: Duty) -> Iterator[None]:
    state = State(url)
    try:
        with running(hold(state, "test", duty)):
            yield
    finally:
        state.close()


class Worker:
    """A duty that notes when it is at work."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fences: list[int] = []
        self.at_work = 0
        self.renewals: set[float] = set()

    async def __call__(self, tenure: Tenure) -> None:
        """Work until cancelled."""
        self.fences.append(tenure.fence)
        self.at_work += 1
        try:
            while True:
                self.renewals.add(tenure.until)
                await asyncio.sleep(0.05)
        finally:
            self.at_work -= 1

    def wants(self) -> AbstractContextManager[None]:
        """A process that wants the role."""
        return _holding(self.url, self)


def test_one_holds_the_other_stands_by(redis_url: str) -> None:
    """The first renews its lease; the second takes over as soon as the first ends, with a greater fence."""
    first, second = Worker(redis_url), Worker(redis_url)
    with first.wants():
        until(lambda: first.at_work)
        with second.wants():
            until(lambda: max(first.renewals) > min(first.renewals) + 2 * role.LEASE_SECONDS)
            assert (first.at_work, second.at_work) == (1, 0)
    assert (first.at_work, second.at_work) == (0, 0)


def test_the_role_is_given_up_at_the_end(redis_url: str) -> None:
    """The next one need not wait for the lease to run out, and has a greater fence."""
    first, second = Worker(redis_url), Worker(redis_url)
    with second_after(first, second):
        until(lambda: second.at_work, timeout=role.LEASE_SECONDS / 2)
    assert second.fences[0] > first.fences[0]


@contextmanager
def second_after(first: Worker, second: Worker) -> Iterator[None]:
    """Both want the role; the first had it and has just ended."""
    with first.wants():
        until(lambda: first.at_work)
    with second.wants():
        yield


def test_a_wiped_server_ends_the_tenure(redis_url: str, valkey: EmbeddedValkey) -> None:
    """The lease is gone, so the duty is cancelled and begun again under a greater fence."""
    worker = Worker(redis_url)
    with worker.wants():
        until(lambda: worker.at_work)
        with valkey.client() as client:
            client.flushall()
        until(lambda: len(worker.fences) == 2 and worker.at_work == 1)
    assert worker.fences[1] > worker.fences[0]


@pytest.mark.parametrize("error", [Rebuilding(), ExceptionGroup("tasks", [Rebuilding()]), ValueError("a bug")])
def test_a_failing_duty_is_begun_again(redis_url: str, error: Exception) -> None:
    """Whatever it raises."""
    begun: list[int] = []

    async def duty(tenure: Tenure) -> None:
        begun.append(tenure.fence)
        raise error

    with _holding(redis_url, duty):
        until(lambda: len(begun) >= 3)
