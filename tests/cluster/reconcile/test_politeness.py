"""What sources do to a server that is asked often, or that asks to be left alone."""

from __future__ import annotations

import uuid
from dataclasses import replace
from time import monotonic

import pytest

from fleetbeat.reconcile import politeness
from fleetbeat.reconcile.context import Context
from fleetbeat.sources.pools import host_of
from tests.support.sources import Sources
from tests.support.wait import until
from tools.gitrepo import GitRepo
from tools.gitserver import GitServer

pytestmark = pytest.mark.cluster


@pytest.fixture
def repo(server: GitServer) -> GitRepo:
    """A repository of one commit."""
    made = server.create(f"r-{uuid.uuid4().hex[:8]}")
    made.commit({"app.yaml": "a: 1\n"})
    return made


def due_in(sources: Sources, name: str) -> float:
    """Seconds until a source runs next."""
    seen = sources.state.inspect(sources.ref(name))
    assert seen is not None
    assert seen.due is not None
    return (seen.due - seen.now) / 1000


def test_a_host_that_was_asked_enough_is_asked_later(
    sources: Sources, ctx: Context, server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All workers share its bucket; who finds it empty has not failed, keeps no worker and comes back soon."""
    monkeypatch.setattr(ctx, "settings", replace(ctx.settings, host_rate=1))
    monkeypatch.setattr(politeness, "BURST", 2)
    for name in ("a", "b", "c", "d"):  # more than a slow machine is let through while they run
        repo = server.create(f"r-{uuid.uuid4().hex[:8]}")
        repo.commit({"app.yaml": "a: 1\n"})
        sources.put(name, repo.url, interval="1h")
    begun = monotonic()
    assert len(sources.run()) == 4
    asked = server.counts()["ls-refs"]
    assert 2 <= asked <= 2 + (monotonic() - begun)
    looks = [sources.state.look(sources.ref(name)) for name in sources.objects]
    waiting = [look.ref.rpartition("/")[2] for look in looks if look is not None and look.status is None]
    assert len(waiting) == 4 - asked
    for name in waiting:
        assert 0 < due_in(sources, name) <= 2 + politeness.SPREAD


@pytest.mark.parametrize("pinned", [False, True])
def test_a_sweep_takes_its_turn_too(
    sources: Sources,
    ctx: Context,
    server: GitServer,
    repo: GitRepo,
    monkeypatch: pytest.MonkeyPatch,
    pinned: bool,
) -> None:
    """What a full sweep may not ask comes to a later one, unchanged and without a run; a fixed commit asks nobody."""
    ref = {"commit": repo.head()} if pinned else {"branch": "main"}
    for name in ("a", "b", "c"):
        sources.put(name, repo.url, ref=ref)
    sources.run()
    before = server.counts()
    monkeypatch.setattr(politeness, "BURST", 1 / ctx.settings.host_rate)
    monkeypatch.setattr(politeness, "SPREAD", 0.0)
    assert ctx.state.take(f"host:{host_of(repo.url)}", 0.25, 1) == 0  # the next token comes in four seconds
    polled = sources.sweep()
    assert (polled.unchanged, polled.asked, polled.delayed) == ((3, 1, 0) if pinned else (0, 0, 3))
    assert server.counts() == before
    if not pinned:
        assert all(0 < due_in(sources, name) <= 4 for name in "abc")
        monkeypatch.setattr(politeness, "BURST", 30)
        until(lambda: due_in(sources, "a") <= 0, timeout=30)
        assert sources.sweep().unchanged == 3
        assert (server.counts() - before)["ls-refs"] == 1


def test_a_thousand_pokes_are_one_run(sources: Sources, server: GitServer, repo: GitRepo) -> None:
    """Those that come before it begins join it; one that comes while it runs makes one more."""
    sources.put("a", repo.url, interval="1h")
    sources.run()
    before = server.counts()
    for _ in range(1000):
        sources.state.poke([sources.ref("a")], "webhook", urgent=True)
    (run,) = sources.state.claim("source").runs
    for _ in range(1000):
        sources.state.poke([sources.ref("a")], "webhook", urgent=True)
    assert sources.state.start("source", run.ref, run.fence) is not None
    for _ in range(1000):
        sources.state.poke([sources.ref("a")], "webhook", urgent=True)
    assert sources.state.finish("source", run.ref, run.fence) == "dirty"
    assert sources.run() == {"a": "webhook"}
    assert sources.run() == {}
    assert (server.counts() - before)["ls-refs"] == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_when_is_left_alone_until_then(
    sources: Sources, server: GitServer, repo: GitRepo, status: int
) -> None:
    """The artifact stays, the reason is told, and nothing else decides the next run."""
    sources.put("a", repo.url, interval="1h")
    sources.run()
    server.faults.status, server.faults.headers = status, {"Retry-After": "77"}
    sources.state.poke([sources.ref("a")], "webhook")
    sources.run()
    assert sources.ready("a")["status"] == "False"
    assert str(status) in sources.ready("a")["message"]
    assert sources.revision("a") == f"main@sha1:{repo.head()}"
    assert 70 < due_in(sources, "a") <= 77


def test_what_a_server_asks_of_one_holds_for_all(sources: Sources, server: GitServer, repo: GitRepo) -> None:
    """Who is told says so; the others keep their status and come later, not all at once. Who was asked to run asks."""
    names = [f"s{number}" for number in range(10)]
    for name in names:
        sources.put(name, repo.url, interval="1h")
    sources.run()
    server.faults.status, server.faults.headers = 429, {"Retry-After": "60"}
    before = server.counts()
    sources.state.poke([sources.ref(name) for name in names], "webhook")
    assert sorted(sources.run()) == names
    assert (server.counts() - before).total() == 1
    (told,) = [name for name in names if sources.ready(name)["status"] == "False"]
    patient = next(name for name in names if name != told)
    sources.request(patient)
    assert list(sources.run()) == [patient]
    assert (server.counts() - before).total() == 2
    assert "429" in sources.ready(patient)["message"]
    waits = sorted(round(due_in(sources, name), 1) for name in names)
    assert 50 < waits[0] <= waits[-1] <= 60 + politeness.SPREAD
    assert len(set(waits)) > 3


def test_pauses_grow_while_a_server_does_not_say(sources: Sources, server: GitServer, repo: GitRepo) -> None:
    """Doubled each time; a success begins anew."""
    sources.put("a", repo.url, interval="1h")
    sources.run()
    server.faults.status = 500
    pauses = []
    for _ in range(4):
        sources.state.poke([sources.ref("a")], "webhook")
        sources.run()
        pauses.append(due_in(sources, "a"))
    assert all(expected - 3 < pause <= expected for expected, pause in zip((5, 10, 20, 40), pauses, strict=True))
    server.faults.status = None
    sources.state.poke([sources.ref("a")], "webhook")
    sources.run()
    assert due_in(sources, "a") > 300
