"""Fetching from a real Git server: what is followed, what it costs, and what a mirror survives."""

from __future__ import annotations

import subprocess
import tarfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dulwich.objects import Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from fleetbeat.errors import EmptyRepository, GitOperationFailed, InvalidSpec
from fleetbeat.sources.credentials import HttpCredentials
from fleetbeat.sources.git import GitLimits, Observed
from tests.unit.sources.git.conftest import Worker, content
from tools.gitrepo import GitRepo
from tools.gitserver import GitServer

pytestmark = pytest.mark.unit

FILES = {"app/deploy.yaml": "kind: Deployment\n", "app/run.sh": "#!/bin/sh\n", "README.md": "hello\n"}


def test_a_branch(repo: GitRepo, worker: Worker) -> None:
    """Revision, file name, subject and content of a branch's head."""
    commit = repo.commit(FILES, "first line\n\nbody", modes={"app/run.sh": 0o100755})
    found = worker.fetch(repo.url)
    assert (found.revision, found.commit, found.subject) == (f"main@sha1:{commit}", commit, "first line")
    assert found.filename == f"{commit}.tar.gz"
    assert content(found) == {path: text.encode() for path, text in FILES.items()}
    assert found.archive is not None
    found.archive.file.seek(0)
    with tarfile.open(fileobj=found.archive.file) as tar:
        assert {member.name: member.mode for member in tar.getmembers()} == {
            "README.md": 0o600,
            "app": 0o750,
            "app/deploy.yaml": 0o600,
            "app/run.sh": 0o700,
        }


def test_a_poll_without_news_lists_one_reference(git_server: GitServer, repo: GitRepo, worker: Worker) -> None:
    """Unchanged costs the two requests of ls-refs and no fetch; a change of settings makes an artifact again."""
    commit = repo.commit(FILES)
    observed = Observed(f"main@sha1:{commit}")
    name = repo.url.rsplit("/", 1)[1]
    assert worker.fetch(repo.url, observed=observed).unchanged
    assert git_server.counts(name) == {"info/refs": 1, "ls-refs": 1}
    again = worker.fetch(repo.url, observed=observed, ignore="*.md")
    assert not again.unchanged and "README.md" not in content(again)


def test_an_update_is_one_more_request(git_server: GitServer, repo: GitRepo, worker: Worker) -> None:
    """The second fetch sends what is new only, and a revision that is in the cache is not fetched at all."""
    first = repo.commit({f"f{number}.yaml": f"n: {number}\n" * 50 for number in range(200)})
    worker.fetch(repo.url)
    second = repo.commit({"f7.yaml": "changed"})
    name = repo.url.rsplit("/", 1)[1]
    before = git_server.counts(name)
    found = worker.fetch(repo.url, observed=Observed(f"main@sha1:{first}"))
    assert git_server.counts(name) - before == {"info/refs": 1, "ls-refs": 1, "fetch": 1}
    assert found.commit == second and content(found)["f7.yaml"] == b"changed"
    counts = sorted(objects_of(pack) for pack in worker.cache.glob("git/*/packs/*.pack"))
    assert counts[1] == 202 and counts[0] <= 4, "commit, tree, the changed file and what their deltas build on"
    before = git_server.counts(name)
    assert len(content(worker.fetch(repo.url))) == 200
    assert git_server.counts(name) - before == {"info/refs": 1, "ls-refs": 1}


def objects_of(pack: Path) -> int:
    """How many objects a pack says to have."""
    return int.from_bytes(pack.read_bytes()[8:12], "big")


def test_updates_build_on_each_other(repo: GitRepo, worker: Worker) -> None:
    """Deltas on what was fetched before are read back, over several updates and directories."""
    files = {f"d{number % 7}/f{number}": f"{number}\n" * 100 for number in range(100)}
    repo.commit(files)
    worker.fetch(repo.url)
    for number in range(5):
        files[f"d3/f{number}"] = f"{number}\n" * 99 + f"changed {number}\n"
        repo.commit({f"d3/f{number}": files[f"d3/f{number}"]})
        assert content(worker.fetch(repo.url)) == {path: text.encode() for path, text in files.items()}


@pytest.mark.parametrize("damage", ["missing", "truncated", "garbage"])
def test_an_update_of_a_damaged_cache(repo: GitRepo, worker: Worker, damage: str) -> None:
    """What the new deltas build on cannot be read: all is fetched again."""
    repo.commit({f"f{number}": f"{number}\n" * 100 for number in range(50)})
    worker.fetch(repo.url)
    repo.commit({"f7": "7\n" * 99 + "changed\n"})
    (pack,) = worker.cache.glob("git/*/packs/*.pack")
    if damage == "missing":
        pack.unlink()
    elif damage == "truncated":
        pack.write_bytes(pack.read_bytes()[:100])
    else:
        pack.write_bytes(pack.read_bytes()[:12] + bytes(pack.stat().st_size - 12))
    assert content(worker.fetch(repo.url))["f7"].endswith(b"changed\n")


@pytest.mark.parametrize("moved", ["forced", "rewound"])
def test_a_rewritten_branch(repo: GitRepo, worker: Worker, moved: str) -> None:
    """A forced push is followed, forwards and backwards."""
    first = repo.commit({"a": "1"})
    repo.commit({"a": "2"})
    worker.fetch(repo.url)
    if moved == "forced":
        repo.point("refs/heads/main", None)
        expected = repo.commit({"b": "3"})
    else:
        repo.point("refs/heads/main", first)
        expected = first
    found = worker.fetch(repo.url)
    assert found.commit == expected
    assert content(found) == ({"b": b"3"} if moved == "forced" else {"a": b"1"})


def test_tags_versions_names_and_commits(repo: GitRepo, worker: Worker) -> None:
    """Each way to name a commit, with its revision string."""
    old = repo.commit({"a": "1"})
    repo.tag("v1.0.0")
    new = repo.commit({"a": "2"})
    repo.tag("v1.1.0", message="annotated")
    repo.tag("v2.0.0-rc.1")
    repo.tag("nightly")
    repo.point("refs/pull/7/head", old)
    cases = [
        ({"tag": "v1.0.0"}, f"v1.0.0@sha1:{old}"),
        ({"tag": "v1.1.0"}, f"v1.1.0@sha1:{new}"),
        ({"semver": "^1"}, f"v1.1.0@sha1:{new}"),
        ({"semver": "<1.1"}, f"v1.0.0@sha1:{old}"),
        ({"semver": ">=1.0.0-0"}, f"v2.0.0-rc.1@sha1:{new}"),
        ({"name": "refs/pull/7/head"}, f"refs/pull/7/head@sha1:{old}"),
        ({"name": "refs/tags/v1.1.0"}, f"refs/tags/v1.1.0@sha1:{new}"),
        ({"name": "refs/heads/main"}, f"refs/heads/main@sha1:{new}"),
        ({"commit": old}, f"sha1:{old}"),
        ({"commit": old, "branch": "main"}, f"main@sha1:{old}"),
    ]
    for ref, revision in cases:
        found = worker.fetch(repo.url, ref)
        assert found.revision == revision, ref
        assert content(found) == {"a": b"1" if found.commit == old else b"2"}
        assert worker.fetch(repo.url, ref, observed=Observed(revision)).unchanged


def test_versions_that_differ_in_build_metadata(repo: GitRepo, worker: Worker) -> None:
    """Of equal versions the newest commit is meant."""
    repo.commit({"a": "1"})
    repo.tag("v1.0.0+z")
    newest = repo.commit({"a": "2"})
    with_time(repo, newest)
    repo.tag("v1.0.0+a", repo.head())
    found = worker.fetch(repo.url, {"semver": "*"})
    assert found.revision == f"v1.0.0+a@sha1:{repo.head()}"
    assert worker.fetch(repo.url, {"semver": "*"}, observed=Observed(found.revision)).unchanged


def with_time(repo: GitRepo, commit: str) -> None:
    """Make a commit younger than any other by a day."""
    with Repo(str(repo.path)) as opened:
        found = opened[ObjectID(commit.encode())]
        assert isinstance(found, Commit)
        found.commit_time += 86400
        opened.object_store.add_object(found)
        opened.refs[Ref(b"refs/heads/main")] = found.id


def test_a_fixed_commit_needs_no_poll(git_server: GitServer, repo: GitRepo, worker: Worker) -> None:
    """What cannot change is not asked for."""
    commit = repo.commit(FILES)
    assert worker.fetch(repo.url, {"commit": commit}, observed=Observed(f"sha1:{commit}")).unchanged
    assert git_server.counts(repo.url.rsplit("/", 1)[1]) == {}


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ({"branch": "nope"}, "no branch 'nope'"),
        ({"branch": "mai"}, "no branch 'mai'"),
        ({"tag": "v9"}, "no tag 'v9'"),
        ({"name": "refs/heads/nope"}, "no reference 'refs/heads/nope'"),
        ({"semver": ">5"}, "no tag of the repository is a version in the range '>5'"),
        ({"commit": "1" * 40}, "the repository has no commit 1{40}; correct spec.ref.commit"),
    ],
)
def test_missing_references_are_named(repo: GitRepo, worker: Worker, ref: dict[str, str], message: str) -> None:
    """The message names the reference and the repository."""
    repo.commit(FILES)
    with pytest.raises(GitOperationFailed, match=message) as caught:
        worker.fetch(repo.url, ref)
    assert repo.url in str(caught.value)


def test_a_range_that_is_none_names_its_field(repo: GitRepo, worker: Worker) -> None:
    """Only another spec helps."""
    repo.commit(FILES)
    with pytest.raises(InvalidSpec, match=r"spec\.ref\.semver 'abc' is not a range of versions"):
        worker.fetch(repo.url, {"semver": "abc"})


@pytest.mark.parametrize("ref", [{"branch": "main"}, {"semver": "*"}, {"tag": "v1"}])
def test_an_empty_repository(repo: GitRepo, worker: Worker, ref: dict[str, str]) -> None:
    """No commit at all has a reason of its own."""
    with pytest.raises(EmptyRepository, match="no commit yet"):
        worker.fetch(repo.url, ref)


def test_an_unknown_repository(git_server: GitServer, worker: Worker) -> None:
    """404 says what to check."""
    with pytest.raises(GitOperationFailed, match=r"repository not found; check spec.url"):
        worker.fetch(f"{git_server.url}/absent")


def test_a_tag_of_something_else(repo: GitRepo, worker: Worker) -> None:
    """A tag may point to a file or directory; that is no revision."""
    repo.commit(FILES)
    blob = subprocess.run(
        ["git", "-C", str(repo.path), "rev-parse", "main:README.md"], capture_output=True, text=True, check=True
    ).stdout.strip()
    repo.point("refs/tags/odd", blob)
    with pytest.raises(GitOperationFailed, match="points to a blob, not to a commit"):
        worker.fetch(repo.url, {"tag": "odd"})


def test_a_server_of_the_old_protocol(repo: GitRepo, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protocol version 0 works, also for a commit that it only hands out with history."""
    old = repo.commit({"a": "1"})
    repo.commit({"a": "2"})
    repo.tag("v1.0.0", message="annotated")
    subprocess.run(["git", "-C", str(repo.path), "config", "uploadpack.allowAnySHA1InWant", "false"], check=True)
    monkeypatch.setattr("dulwich.client.DEFAULT_GIT_PROTOCOL_VERSION_FETCH", 0)
    assert content(worker.fetch(repo.url)) == {"a": b"2"}
    assert content(worker.fetch(repo.url, {"semver": "1.x"})) == {"a": b"2"}
    assert content(worker.fetch(repo.url, {"commit": old})) == {"a": b"1"}
    assert content(worker.fetch(repo.url, {"commit": old, "branch": "main"})) == {"a": b"1"}
    with pytest.raises(GitOperationFailed, match=f"{repo.url}: the repository has no commit 1+; correct spec"):
        worker.fetch(repo.url, {"commit": "1" * 40})
    with pytest.raises(GitOperationFailed, match=r"the branch 'main' \(spec.ref.branch\) has no commit 1+"):
        worker.fetch(repo.url, {"commit": "1" * 40, "branch": "main"})


def test_two_workers_on_one_machine(repo: GitRepo, worker: Worker) -> None:
    """Runs of one repository wait for each other and all succeed."""
    repo.commit(FILES)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: worker.fetch(repo.url), range(4)))
    assert len({result.archive.digest for result in found if result.archive}) == 1


@pytest.mark.parametrize("damage", ["truncated pack", "missing pack", "missing index", "garbage", "list without packs"])
def test_a_damaged_cache_costs_time_only(repo: GitRepo, worker: Worker, damage: str) -> None:
    """Whatever happens to the mirror, the next run fetches again."""
    repo.commit(FILES)
    worker.fetch(repo.url)
    (pack,) = worker.cache.glob("git/*/packs/*.pack")
    if damage == "truncated pack":
        pack.write_bytes(pack.read_bytes()[:40])
    elif damage == "missing pack":
        pack.unlink()
    elif damage == "missing index":
        pack.with_suffix(".idx").unlink()
    elif damage == "garbage":
        data = pack.read_bytes()
        pack.write_bytes(data[:12] + bytes(len(data) - 32) + data[-20:])
    else:
        for file in pack.parent.iterdir():
            file.unlink()
    assert set(content(worker.fetch(repo.url))) == set(FILES)


def test_a_mirror_does_not_grow_for_ever(repo: GitRepo, worker: Worker) -> None:
    """After so many updates it is fetched anew."""
    limits = GitLimits(mirror_packs=3)
    for number in range(8):
        repo.commit({f"f{number}": str(number)})
        worker.fetch(repo.url, limits=limits)
    assert len(list(worker.cache.glob("git/*/packs/*.pack"))) <= 3
    assert len(content(worker.fetch(repo.url, limits=limits))) == 8


def test_accounts_share_nothing(repo: GitRepo, worker: Worker) -> None:
    """Another account never reads from a mirror that it did not fetch itself."""
    commit = repo.commit(FILES)
    worker.fetch(repo.url, {"commit": commit})
    worker.fetch(repo.url, {"commit": commit}, credentials=HttpCredentials("ann", uuid.uuid4().hex))
    assert len(list(worker.cache.glob("git/*/packs/*.pack"))) == 2
