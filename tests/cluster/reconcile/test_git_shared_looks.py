"""GitRepositories of one repository that a push or a person wakes: one look at the server serves those it may serve."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from fleetbeat.errors import FleetbeatError
from fleetbeat.reconcile import gitrepository, politeness
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.run import execute
from fleetbeat.sources.pools import host_of
from fleetbeat.state.shards import SOURCE
from tests.support.sources import Sources
from tests.support.wake import wake
from tools.gitrepo import GitRepo
from tools.gitserver import GitServer

pytestmark = pytest.mark.cluster

NAMES = "abcde"


@pytest.fixture
def repo(server: GitServer) -> GitRepo:
    """A repository of one commit."""
    made = server.create(f"r-{uuid.uuid4().hex[:8]}")
    made.commit({"app.yaml": "a: 1\n"})
    return made


@pytest.fixture
def settled(sources: Sources, repo: GitRepo) -> Sources:
    """Five sources of it with an artifact."""
    for name in NAMES:
        sources.put(name, repo.url, interval="1h")
    sources.run()
    return sources


def poke(sources: Sources, names: str = NAMES) -> None:
    """As a webhook does."""
    wake(sources.state, [sources.ref(name) for name in names])


def test_a_push_costs_one_look(settled: Sources, server: GitServer, repo: GitRepo) -> None:
    """And one fetch of what is new."""
    head = repo.commit({"app.yaml": "a: 2\n"})
    before = server.counts()
    poke(settled)
    assert settled.run().keys() == set(NAMES)
    asked = server.counts() - before
    assert (asked["ls-refs"], asked["fetch"]) == (1, 1)
    assert {settled.revision(name) for name in NAMES} == {f"main@sha1:{head}"}


def test_whoever_is_woken_after_a_look_looks_again(settled: Sources, server: GitServer, repo: GitRepo) -> None:
    """A push right after it is never missed."""
    poke(settled, "a")
    settled.run()
    head = repo.commit({"app.yaml": "a: 3\n"})
    before = server.counts()
    poke(settled, "b")
    settled.run()
    assert (server.counts() - before)["ls-refs"] == 1
    assert settled.revision("b") == f"main@sha1:{head}"


def test_other_references_are_looked_for_apart(sources: Sources, server: GitServer, repo: GitRepo) -> None:
    """Each look asks for what it needs alone."""
    repo.tag("v1.0.0")
    before = server.counts()
    sources.put("a", repo.url, interval="1h")
    sources.put("b", repo.url, interval="1h", ref={"tag": "v1.0.0"})
    sources.run()
    assert (server.counts() - before)["ls-refs"] == 2


def test_another_account_looks_for_itself(settled: Sources, server: GitServer, repo: GitRepo) -> None:
    """What one account may see says nothing about what another may."""
    settled.secret("login", username="ann", password="one")
    settled.put("a", repo.url, interval="1h", secretRef={"name": "login"})
    before = server.counts()
    poke(settled, "abc")
    settled.run()
    assert (server.counts() - before)["ls-refs"] == 2


def test_a_look_that_fails_serves_nobody(settled: Sources, ctx: Context, server: GitServer, repo: GitRepo) -> None:
    """Who was woken with it asks again, and is well when the server answers by then."""
    head = repo.commit({"app.yaml": "a: 5\n"})
    poke(settled, "ab")
    first, second = settled.state.claim(SOURCE).runs
    server.faults.status = 500
    with pytest.raises(FleetbeatError):
        execute(ctx, gitrepository.PIPELINE, SOURCE, first.ref, first.fence)
    server.faults.status = 0
    execute(ctx, gitrepository.PIPELINE, SOURCE, second.ref, second.fence)
    assert settled.revision(second.ref.rpartition("/")[2]) == f"main@sha1:{head}"


def test_a_shared_look_takes_one_turn(
    settled: Sources, ctx: Context, server: GitServer, repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many a push wakes, its host is asked once."""
    monkeypatch.setattr(ctx, "settings", replace(ctx.settings, host_rate=1))
    monkeypatch.setattr(politeness, "BURST", 2)
    host = f"host:{host_of(repo.url)}"
    ctx.state.command("DEL", f"fb:bucket:{host}")
    assert ctx.state.take(host, 1, 2) == 0
    head = repo.commit({"app.yaml": "a: 4\n"})
    before = server.counts()
    poke(settled)
    settled.run()
    assert (server.counts() - before)["ls-refs"] == 1
    assert {settled.revision(name) for name in NAMES} == {f"main@sha1:{head}"}
