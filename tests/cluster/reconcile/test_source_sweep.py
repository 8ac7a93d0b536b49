"""Sweeps of GitRepositories: one look for all that may share it, and a run for each that must tell something."""

from __future__ import annotations

import uuid
from time import monotonic

import pytest

from fleetbeat.artifacts import store as artifact_store
from fleetbeat.errors import StorageFailed
from fleetbeat.reconcile import sourceartifact, sourcesweep
from tests.support.sources import Sources
from tools.gitrepo import GitRepo
from tools.gitserver import Access, GitServer

pytestmark = pytest.mark.cluster

FILES = {"app.yaml": "a: 1\n"}


@pytest.fixture
def repo(server: GitServer) -> GitRepo:
    """A repository with branches main and stable, and the tag 1.0.0."""
    made = server.create(f"r-{uuid.uuid4().hex[:8]}")
    made.commit(FILES, "first")
    made.commit(FILES, "first", "stable")
    made.tag("1.0.0")
    return made


def test_one_look_serves_all_that_are_unchanged(sources: Sources, server: GitServer, repo: GitRepo) -> None:
    """Branches, tags and fixed commits of one URL cost one listing together, and nothing is written."""
    targets = ({"branch": "main"}, {"branch": "stable"}, {"semver": ">=1"}, {"tag": "1.0.0"}, {"commit": repo.head()})
    for number, ref in enumerate(targets):
        sources.put(f"s{number}", repo.url, ref=ref)
    sources.run()
    before, statuses = server.counts(), [sources.status(name) for name in sources.objects]
    polled = sources.sweep()
    assert (polled.unchanged, polled.asked, polled.poked) == (len(targets), 1, ())
    assert server.counts() - before == {"info/refs": 1, "ls-refs": 1}
    assert [sources.status(name) for name in sources.objects] == statuses
    assert sources.sweep().unchanged == len(targets)


def test_a_moved_branch_pokes_those_that_follow_it(sources: Sources, repo: GitRepo) -> None:
    """The others stay settled."""
    for name, branch in (("a", "main"), ("b", "stable"), ("c", "stable")):
        sources.put(name, repo.url, ref={"branch": branch})
    sources.run()
    head = repo.commit({"app.yaml": "a: 2\n"}, "second", "stable")
    polled = sources.sweep()
    assert (polled.unchanged, sorted(polled.poked)) == (1, [sources.ref("b"), sources.ref("c")])
    assert sources.run() == dict.fromkeys("bc", f"the server has stable@sha1:{head}")
    assert [sources.revision(name) for name in "bc"] == [f"stable@sha1:{head}"] * 2


def test_a_moved_tag_is_followed(sources: Sources, repo: GitRepo) -> None:
    """By the tag's name and by a range of versions alike; who names the commit stays where he is."""
    old = repo.head()
    for name, ref in (("tag", {"tag": "1.0.0"}), ("range", {"semver": ">=1"}), ("fixed", {"commit": old})):
        sources.put(name, repo.url, ref=ref)
    sources.run()
    head = repo.commit({"app.yaml": "a: 2\n"}, "second")
    repo.tag("1.0.0")
    assert set(sources.sweep().poked) == {sources.ref("tag"), sources.ref("range")}
    sources.run()
    revisions = [sources.revision(name).rpartition(":")[2] for name in ("tag", "range", "fixed")]
    assert revisions == [head, head, old]


def test_all_that_changed_fetch_one_pack(sources: Sources, server: GitServer, repo: GitRepo) -> None:
    """By one look; each stores its own copy."""
    for number in range(4):
        sources.put(f"s{number}", repo.url)
    sources.run()
    assert server.counts()["fetch"] == 1
    assert server.counts()["ls-refs"] == 1
    assert len({tuple(sources.stored(name)) for name in sources.objects}) == 1
    assert len(sources.stored("s0")) == 1


def test_accounts_are_asked_separately(sources: Sources, server: GitServer, repo: GitRepo) -> None:
    """Equal credentials share a look; a wrong password never meets the answer of a right one."""
    server.access = Access(basic=("fleet", "right"))
    for name in ("a", "b", "c"):
        sources.secret(name, username="fleet", password="right")
        sources.put(name, repo.url, secretRef={"name": name})
    sources.run()
    assert sources.sweep().asked == 1
    sources.secret("c", username="fleet", password="wrong")
    before = server.counts()
    polled = sources.sweep()
    assert (polled.unchanged, polled.asked, polled.poked) == (2, 2, (sources.ref("c"),))
    assert (server.counts() - before)["ls-refs"] == 1
    assert list(sources.run()) == ["c"]
    assert sources.ready("c")["reason"] == "AuthenticationFailed"


def test_without_its_secret_a_source_is_not_swept(sources: Sources, server: GitServer, repo: GitRepo) -> None:
    """The public repository would have answered, but the spec asks for an account."""
    sources.secret("a", username="fleet", password="any")
    sources.put("a", repo.url, secretRef={"name": "a"})
    sources.put("b", repo.url)
    sources.run()
    sources.client.delete(f"/api/v1/namespaces/{sources.namespace}/secrets/a")
    assert sources.sweep().poked == (sources.ref("a"),)
    assert list(sources.run()) == ["a"]
    assert "Secret" in sources.ready("a")["message"]


def test_each_source_of_a_dead_server_says_so(sources: Sources, server: GitServer, repo: GitRepo) -> None:
    """The sweep writes no status; the runs that follow it do, and keep the artifact."""
    for name in ("a", "b"):
        sources.put(name, repo.url)
    sources.run()
    server.stop()
    assert sorted(sources.sweep().poked) == [sources.ref("a"), sources.ref("b")]
    assert sources.ready("a")["status"] == "True"
    why = sources.run()
    assert all(reason.startswith("asked together: ") for reason in why.values())
    for name in ("a", "b"):
        assert (sources.ready(name)["status"], sources.ready(name)["reason"]) == ("False", "GitOperationFailed")
        assert sources.revision(name) == f"main@sha1:{repo.head()}"


def test_a_slow_server_delays_nobody_else(
    sources: Sources, server: GitServer, repo: GitRepo, git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up after a while, and what the others said is settled by then."""
    monkeypatch.setattr(sourcesweep, "SERVER_SECONDS", 0.5)
    quick = git_server.create(f"r-{uuid.uuid4().hex[:8]}")
    quick.commit(FILES)
    sources.put("quick", quick.url)
    sources.put("slow", repo.url)
    sources.run()
    server.faults.delay = 3
    begun = monotonic()
    polled = sources.sweep()
    assert (polled.unchanged, polled.poked) == (1, (sources.ref("slow"),))
    assert monotonic() - begun < 3


def _no_record(sources: Sources) -> None:
    sources.state.command("HDEL", "fb:artifacts", sources.ref("a"))


def _no_memo(sources: Sources) -> None:
    sources.memo("a")


def test_a_lost_record_is_published_again(sources: Sources, repo: GitRepo) -> None:
    """A sweep cannot vouch for what nobody is told; the run mends it."""
    for name in ("a", "b"):
        sources.put(name, repo.url)
    sources.run()
    sources.state.command("HDEL", "fb:artifacts", sources.ref("a"))
    assert sources.sweep().poked == (sources.ref("a"),)
    assert list(sources.run()) == ["a"]
    assert sources.state.artifact(sources.ref("a")) is not None
    assert sources.sweep().unchanged == 2


@pytest.mark.parametrize("facts", [{}, {"checked": 1.0}])
def test_objects_are_looked_for_now_and_then(
    sources: Sources, server: GitServer, repo: GitRepo, facts: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sweep itself, so that the server is asked once all the same; then not again for a while."""
    for name in ("a", "b"):
        sources.put(name, repo.url)
    sources.run()
    sources.memo("a", **facts)
    before, looked = server.counts(), []
    exists = sources.ctx.store.exists
    monkeypatch.setattr(sources.ctx.store, "exists", lambda *args: looked.append(args) or exists(*args))
    assert sources.sweep().unchanged == 2
    assert sources.sweep().unchanged == 2
    assert len(looked) == 1
    assert (server.counts() - before)["ls-refs"] == 2


def test_an_object_that_is_gone_is_stored_again(sources: Sources, repo: GitRepo) -> None:
    """The sweep finds it out, and the source's own run mends it."""
    for name in ("a", "b"):
        sources.put(name, repo.url)
    sources.run()
    (digest,) = sources.stored("a")
    source = artifact_store.Source("GitRepository", sources.namespace, "a", "uid-a")
    sources.ctx.store.delete_all(source)
    for name in ("a", "b"):
        sources.memo(name, checked=1.0)
    assert sources.sweep().poked == (sources.ref("a"),)
    assert sources.run() == {"a": "its artifact is not in the store"}
    assert sources.stored("a") == [digest]
    assert sources.ready("a")["status"] == "True"


def test_a_store_that_does_not_answer_is_told_by_one(
    sources: Sources, repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others' artifacts may well be there: they are looked for at the next interval."""

    def away(*_: object) -> bool:
        raise StorageFailed("no answer")

    for name in ("a", "b", "c"):
        sources.put(name, repo.url)
    sources.run()
    for name in ("a", "b", "c"):
        sources.memo(name, checked=1.0)
    monkeypatch.setattr(sources.ctx.store, "exists", away)
    polled = sources.sweep()
    assert (polled.unchanged, len(polled.poked)) == (2, 1)


def test_a_request_is_acknowledged_by_a_run(sources: Sources, repo: GitRepo) -> None:
    """A sweep writes no status, so it never serves one; the next interval is swept again."""
    sources.put("a", repo.url)
    sources.run()
    token = sources.request("a")
    assert sources.run() == {"a": "requested"}
    assert sources.status("a")["lastHandledReconcileAt"] == token
    assert sources.sweep().unchanged == 1


def test_old_artifacts_go_when_nobody_reads_them(
    sources: Sources, repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two are kept; the third and older ones go at a poll some time after the last new one."""
    for module in (artifact_store, sourceartifact):
        monkeypatch.setattr(module, "YOUNG_SECONDS", -3600.0)
    sources.put("a", repo.url)
    sources.run()
    for number in range(2, 5):
        repo.commit({"app.yaml": f"a: {number}\n"})
        assert len(sources.sweep().poked) == 1
        sources.run()
    assert len(sources.stored("a")) == 2
    assert sources.sweep().unchanged == 1


def test_artifacts_of_a_minute_ago_stay(sources: Sources, repo: GitRepo) -> None:
    """Consumers may have been told of them; they go after that minute, by a run of their own."""
    sources.put("a", repo.url)
    sources.run()
    for number in range(2, 5):
        repo.commit({"app.yaml": f"a: {number}\n"})
        sources.sweep()
        sources.run()
    assert len(sources.stored("a")) == 4
    assert sources.sweep().unchanged == 1
    sources.memo("a", made=1.0)
    assert sources.sweep().poked == (sources.ref("a"),)
    assert sources.run() == {"a": "old artifacts are removed"}
