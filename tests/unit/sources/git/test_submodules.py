"""Submodules: exactly the commits that are named, from wherever they are, with credentials for one origin only."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetbeat.errors import AuthenticationFailed, GitOperationFailed, InvalidURL
from fleetbeat.sources.credentials import HttpCredentials, SshCredentials
from fleetbeat.sources.git import Observed
from fleetbeat.sources.git.submodules import resolve
from tests.support.hostile import add_blob, add_tree, commit_tree
from tests.unit.sources.git.conftest import Worker, content
from tools.gitrepo import GitRepo
from tools.gitserver import Access, GitServer
from tools.sshserver import SshServer, make_key

pytestmark = pytest.mark.unit

ACCOUNT = HttpCredentials(username="fleet", password="right")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """A server that asks for a login."""
    with GitServer(tmp_path / "own") as made:
        made.access = Access(basic=("fleet", "right"))
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[GitServer]:
    """Another one, which asks for none."""
    with GitServer(tmp_path / "other") as made:
        yield made


def new(server: GitServer, name: str = "") -> GitRepo:
    return server.create(name or f"r-{uuid.uuid4().hex[:8]}")


def link(repo: GitRepo, modules: dict[str, tuple[str, str]], *, file: str | None = None) -> str:
    """A commit of a file a.yaml with submodules: path → (URL, commit). Paths have at most one directory."""
    text = "".join(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n' for path, (url, _) in modules.items())
    entries = [
        (b"100644", b".gitmodules", add_blob(repo, (text if file is None else file).encode())),
        (b"100644", b"a.yaml", add_blob(repo, b"a: 1\n")),
    ]
    for path, (_, commit) in modules.items():
        folder, _, name = path.rpartition("/")
        entry = (b"160000", name.encode(), commit)
        entries.append((b"40000", folder.encode(), add_tree(repo, entry)) if folder else entry)
    return commit_tree(repo, add_tree(repo, *sorted(entries, key=lambda one: one[1])))


def test_they_are_part_of_the_archive(server: GitServer, worker: Worker) -> None:
    """Nested ones too, at the commits of the gitlinks and not at those of any branch; without the field none is."""
    inner, middle, outer = (new(server, name) for name in ("inner", "middle", "outer"))
    wanted = inner.commit({"i.yaml": "i: 1\n", "d/x.sh": "x"}, modes={"d/x.sh": 0o100755})
    inner.commit({"i.yaml": "i: 2\n"})
    link(middle, {"deep": ("../inner", wanted)})
    link(outer, {"libs/m": ("../middle", middle.head())})
    found = worker.fetch(outer.url, credentials=ACCOUNT, recurseSubmodules=True)
    assert content(found) == {
        "a.yaml": b"a: 1\n",
        "libs/m/a.yaml": b"a: 1\n",
        "libs/m/deep/i.yaml": b"i: 1\n",
        "libs/m/deep/d/x.sh": b"x",
    }
    assert found.left_out == ()
    plain = worker.fetch(outer.url, credentials=ACCOUNT)
    assert set(content(plain)) == {"a.yaml"}
    assert plain.left_out == ("submodules are left out: libs/m; set spec.recurseSubmodules to fetch them",)


def test_a_poll_costs_no_more(server: GitServer, worker: Worker) -> None:
    """A commit fixes its submodules, so nobody asks their servers while it stays."""
    inner, outer = new(server, "inner"), new(server, "outer")
    link(outer, {"m": ("../inner", inner.commit({"i": "1"}))})
    first = worker.fetch(outer.url, credentials=ACCOUNT, recurseSubmodules=True)
    before = len(server.seen)
    observed = Observed(first.revision, submodules=True)
    assert worker.fetch(outer.url, credentials=ACCOUNT, recurseSubmodules=True, observed=observed).unchanged
    assert {seen.repository for seen in server.seen[before:]} == {"outer"}
    assert not worker.fetch(outer.url, credentials=ACCOUNT, observed=observed).unchanged


def test_another_origin_is_told_no_credentials(server: GitServer, other: GitServer, worker: Worker) -> None:
    """Another port is another server. Its public repositories are read, private ones fail with the reason."""
    public, outer = new(other, "public"), new(server, "outer")
    link(outer, {"m": (public.url, public.commit({"p.yaml": "1"}))})
    found = worker.fetch(outer.url, credentials=ACCOUNT, recurseSubmodules=True)
    assert set(content(found)) == {"a.yaml", "m/p.yaml"}
    other.access = Access(basic=("fleet", "right"))
    public.commit({"p.yaml": "2"})
    link(outer, {"m": (public.url, public.head())})
    with pytest.raises(AuthenticationFailed, match=r"submodule 'm': .* asked without credentials"):
        worker.fetch(outer.url, credentials=ACCOUNT, recurseSubmodules=True)
    assert {seen.authorization for seen in other.seen} == {""}
    assert all(seen.authorization for seen in server.seen if seen.operation == "fetch")


def test_who_may_not_read_a_submodule_gets_none_of_it(server: GitServer, worker: Worker) -> None:
    """Also not from the mirror that an earlier run with the right to filled."""
    inner, outer = new(server, "inner"), new(server, "outer")
    server.access = Access()
    link(outer, {"m": ("../inner", inner.commit({"i": "1"}))})
    worker.fetch(outer.url, recurseSubmodules=True)
    server.faults.redirects["inner"] = f"{server.url}/gone"
    with pytest.raises(GitOperationFailed, match="submodule 'm'"):
        worker.fetch(outer.url, recurseSubmodules=True, ignore="other")


def test_a_missing_commit(server: GitServer, worker: Worker) -> None:
    """The message names submodule, repository and commit."""
    inner, outer = new(server, "inner"), new(server, "outer")
    inner.commit({"i": "1"})
    link(outer, {"m": ("../inner", "1" * 40)})
    with pytest.raises(GitOperationFailed, match=f"submodule 'm': .*inner.*{'1' * 40}"):
        worker.fetch(outer.url, credentials=ACCOUNT, recurseSubmodules=True)


def test_the_same_repository_more_than_once(server: GitServer, worker: Worker) -> None:
    """At two commits, and even the repository itself."""
    inner, outer = new(server, "inner"), new(server, "outer")
    commits = [inner.commit({"i": str(number)}) for number in range(2)]
    own = outer.commit({"own": "1"})
    modules = {"m0": ("../inner", commits[0]), "m1": ("../inner", commits[1]), "self": ("../outer", own)}
    link(outer, modules)
    outer.point("refs/heads/old", own)
    found = worker.fetch(outer.url, credentials=ACCOUNT, recurseSubmodules=True)
    assert content(found) == {"a.yaml": b"a: 1\n", "m0/i": b"0", "m1/i": b"1", "self/own": b"1"}


def test_only_what_is_wanted_is_fetched(server: GitServer, worker: Worker) -> None:
    """A submodule outside of spec.sparseCheckout may be out of reach."""
    inner, outer = new(server, "inner"), new(server, "outer")
    head = inner.commit({"i": "1"})
    link(outer, {"in": ("../inner", head), "out": ("../nowhere", head)})
    found = worker.fetch(outer.url, credentials=ACCOUNT, recurseSubmodules=True, sparseCheckout=["in"])
    assert content(found) == {"in/i": b"1"}


def test_nesting_ends(server: GitServer, worker: Worker) -> None:
    """Each link of a long chain is another repository; a hostile one would never end."""
    head, name = "", ""
    for number in range(12):
        repo = new(server, f"n{number}")
        head = link(repo, {"m": (f"../{name}", head)}) if name else repo.commit({"end": "1"})
        name = f"n{number}"
    with pytest.raises(GitOperationFailed, match="nest deeper than 10"):
        worker.fetch(f"{server.url}/{name}", credentials=ACCOUNT, recurseSubmodules=True)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("", "has no entry with its path"),
        ('[submodule "m"]\n\tpath = ../m\n\turl = ../inner\n', "has no entry with its path"),
        ('[submodule "m"]\n\tpath = m\n\turl = file:///etc\n', "its URL in .gitmodules must be http"),
        ('[submodule "m"]\n\tpath = m\n\turl = /etc\n', "its URL in .gitmodules must be http"),
        ('[submodule "m"]\n\tpath = m\n\turl = --upload-pack=x\n', "its URL in .gitmodules must be http"),
        ('[submodule "m"]\n\tpath = m\n\turl = https://a:SECRET@h/x\n', "contains a password"),
        ('[submodule "m"]\n\tpath = m\n\turl = ../../../x\n', "leads out of the server's root"),
        ("[include]\n\tpath = /etc/passwd\n", "has no entry with its path"),
        ("[submodule\n", "cannot be read"),
    ],
)
def test_hostile_files(server: GitServer, worker: Worker, file: str, message: str) -> None:
    """What no submodule can be is named; nothing is opened on the worker, and no secret is repeated."""
    outer = new(server, "outer")
    link(outer, {"m": ("../inner", "1" * 40)}, file=file)
    with pytest.raises(GitOperationFailed) as caught:
        worker.fetch(outer.url, credentials=ACCOUNT, recurseSubmodules=True)
    assert message in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("parent", "written", "url"),
    [
        ("https://h/a/b", "../x", "https://h/a/x"),
        ("https://h/a/b.git", "../../c/x.git", "https://h/c/x.git"),
        ("https://h:8443/a/b", "./x", "https://h:8443/a/b/x"),
        ("ssh://git@h/a/b", "../x", "ssh://git@h/a/x"),
        ("https://h/a/b", "https://me@other/x/", "https://other/x"),
        ("https://h/a/b", "git@other:x/y.git", "ssh://git@other/x/y.git"),
        ("https://h/a/b", "ssh://git@other:2222/x", "ssh://git@other:2222/x"),
    ],
)
def test_urls(parent: str, written: str, url: str) -> None:
    """As Git reads them."""
    assert resolve(parent, written) == url


@pytest.mark.parametrize("written", ["../../x", "../..", "./../../../x", "git://h/x"])
def test_urls_that_lead_nowhere(written: str) -> None:
    """A relative one stays on its server."""
    with pytest.raises(InvalidURL):
        resolve("https://h/a", written)


def test_over_ssh(tmp_path: Path, worker: Worker, other: GitServer) -> None:
    """The key opens submodules of the same server; another one by HTTP is asked without anything."""
    key = make_key()
    with SshServer(tmp_path / "ssh") as server:
        server.allow(key)
        inner, outer, public = server.create("inner"), server.create("outer"), new(other, "public")
        link(outer, {"m": ("../inner", inner.commit({"i": "1"})), "p": (public.url, public.commit({"p": "1"}))})
        account = SshCredentials(key.private, server.known_hosts)
        found = worker.fetch(outer.url, credentials=account, recurseSubmodules=True, secretRef={"name": "login"})
        assert content(found) == {"a.yaml": b"a: 1\n", "m/i": b"1", "p/p": b"1"}
