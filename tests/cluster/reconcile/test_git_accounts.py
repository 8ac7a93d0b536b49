"""Who asks a Git server: Secrets become accounts in runs and sweeps, and every mistake its own condition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sources import Sources
from tools.githubapi import GithubApi
from tools.gitrepo import GitRepo
from tools.gitserver import Access, GitServer
from tools.proxy import Proxy
from tools.sshserver import SshServer, make_key

pytestmark = pytest.mark.cluster

KEY, OTHER = make_key(passphrase="right"), make_key()
FILES = {"app.yaml": "a: 1\n"}
LOGIN: dict[str, Any] = {"secretRef": {"name": "login"}}


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """Lets `KEY` in."""
    with SshServer(tmp_path_factory.mktemp("sshd")) as made:
        made.allow(KEY)
        yield made


@pytest.fixture
def repo(sshd: SshServer, namespace: str) -> GitRepo:
    """A repository behind SSH."""
    made = sshd.create(namespace)
    made.commit(FILES, "first")
    return made


def ssh_secret(sources: Sources, sshd: SshServer, name: str = "login", **change: str) -> None:
    """A good one but for `change`; what is empty there is left out."""
    data = {"identity": KEY.private.decode(), "known_hosts": sshd.known_hosts.decode(), "password": "right"} | change
    sources.secret(name, **{key: value for key, value in data.items() if value})


def test_ssh_is_run_and_swept(sources: Sources, sshd: SshServer, repo: GitRepo) -> None:
    """Equal keys share a look; a moved branch pokes those that follow it."""
    for name in ("a", "b"):
        ssh_secret(sources, sshd, name)
        sources.put(name, repo.url, secretRef={"name": name})
    sources.run()
    assert sources.revision("a") == sources.revision("b") == f"main@sha1:{repo.head()}"
    before = sshd.logins()
    polled = sources.sweep()
    assert (polled.unchanged, polled.asked) == (2, 1)
    assert sshd.logins() == before + 1
    head = repo.commit({"app.yaml": "a: 2\n"}, "second")
    assert sorted(sources.sweep().poked) == [sources.ref("a"), sources.ref("b")]
    sources.run()
    assert sources.revision("a") == f"main@sha1:{head}"


@pytest.mark.parametrize(
    ("change", "reason", "says"),
    [
        (
            {"password": "wrong"},
            "AuthenticationFailed",
            "password of Secret {namespace}/login (spec.secretRef) does",
        ),
        ({"password": ""}, "AuthenticationFailed", "has a passphrase; put it into the key password"),
        ({"identity": "SECRET"}, "AuthenticationFailed", "identity of Secret {namespace}/login (spec.secretRef) is no"),
        ({"identity": OTHER.private.decode(), "password": ""}, "AuthenticationFailed", "refused user"),
        ({"known_hosts": ""}, "AuthenticationFailed", "lacks the key known_hosts"),
        ({"known_hosts": f"other.example {OTHER.public}"}, "AuthenticationFailed", "known_hosts has no key of"),
        (
            {"known_hosts": f"127.0.0.1 {OTHER.public}"},
            "AuthenticationFailed",
            "known_hosts has no key of [127.0.0.1]:",
        ),
        ({"known_hosts": f"[127.0.0.1]:* {OTHER.public}"}, "AuthenticationFailed", "shows another host key"),
    ],
    ids=["passphrase", "no passphrase", "no key", "refused", "no known_hosts", "unknown", "other port", "changed"],
)
def test_each_mistake_of_an_ssh_secret_has_its_message(
    sources: Sources, sshd: SshServer, repo: GitRepo, change: dict[str, str], reason: str, says: str
) -> None:
    """The last good artifact stays, and the Secret that is mended is enough."""
    ssh_secret(sources, sshd)
    sources.put("a", repo.url, **LOGIN)
    sources.run()
    ssh_secret(sources, sshd, **change)
    assert sources.sweep().poked == (sources.ref("a"),)
    sources.run()
    ready = sources.ready("a")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert says.format(namespace=sources.namespace) in ready["message"]
    assert "SECRET" not in ready["message"]
    assert sources.revision("a") == f"main@sha1:{repo.head()}"
    ssh_secret(sources, sshd)
    sources.request("a")
    sources.run()
    assert sources.ready("a")["status"] == "True"


@pytest.mark.parametrize(
    ("url", "fields", "reason", "says"),
    [
        ("{ssh}/absent", LOGIN, "GitOperationFailed", "repository not found; check spec.url and what the key may read"),
        ("ssh://git@no-such-host.invalid/app", LOGIN, "AuthenticationFailed", "known_hosts has no key of no-such-host"),
        ("{ssh}/absent", {}, "ValidationFailed", "spec.secretRef is missing"),
        ("{ssh}/absent", {"proxySecretRef": {"name": "login"}}, "ValidationFailed", "spec.secretRef is missing"),
        (
            "https://git.example/app",
            {"provider": "github"},
            "InvalidProviderConfiguration",
            "spec.secretRef is missing",
        ),
        ("https://git.example/app", {"provider": "aws"}, "InvalidProviderConfiguration", "does not serve"),
        ("ssh://git@git.example:org/app", LOGIN, "URLInvalid", "write ssh://[user@]host[:port]/path"),
        ("https://git.example/app", LOGIN, "AuthenticationFailed", "holds a login for ssh"),
        (
            "https://git.example/app",
            {"proxySecretRef": {"name": "none"}},
            "AuthenticationFailed",
            "spec.proxySecretRef",
        ),
        ("https://git.example/app", {"provider": "github", **LOGIN}, "InvalidProviderConfiguration", "githubAppID"),
    ],
)
def test_mistakes_of_a_spec(
    sources: Sources, sshd: SshServer, url: str, fields: dict[str, Any], reason: str, says: str
) -> None:
    """Each names field or Secret and what to do."""
    ssh_secret(sources, sshd)
    sources.put("a", url.replace("{ssh}", sshd.url("x").removesuffix("/x")), **fields)
    sources.run()
    ready = sources.ready("a")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert says in ready["message"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"username": "ann"}, "check the Secret; Secret {namespace}/login lacks the key password"),
        ({"password": "SECRET"}, "Secret {namespace}/login has a password but no username; add the key username"),
        ({"ca.crt": "SECRET"}, "the key ca.crt of Secret {namespace}/login (spec.secretRef) holds no PEM certificate"),
    ],
)
def test_each_mistake_of_a_secret_for_http_has_its_message(
    sources: Sources, tmp_path: Path, data: dict[str, str], says: str
) -> None:
    """A user name alone is asked for entry with, as there are tokens that take its place."""
    with GitServer(tmp_path / "git") as server:
        repo = server.create("app")
        repo.commit(FILES)
        server.access = Access(basic=("ann", "SECRET"))
        sources.secret("login", **data)
        sources.put("a", repo.url, **LOGIN)
        sources.run()
        assert sources.ready("a")["reason"] == "AuthenticationFailed"
        assert says.format(namespace=sources.namespace) in sources.ready("a")["message"]
        assert "SECRET" not in sources.ready("a")["message"]
        server.access = Access(basic=("ann", ""))
        sources.secret("login", username="ann")
        sources.request("a")
        sources.run()
        assert sources.ready("a")["status"] == "True"


def test_a_proxy_is_part_of_the_account(sources: Sources, tmp_path: Path) -> None:
    """One look for each way to a server; a proxy that refuses is told by those who use it alone."""
    with GitServer(tmp_path / "git") as server, Proxy(login=("ann", "right")) as proxy:
        repo = server.create("app")
        repo.commit(FILES)
        for name, password in (("good", "right"), ("same", "right"), ("bad", "wrong")):
            sources.secret(name, address=proxy.address, username="ann", password=password)
            sources.put(name, repo.url, proxySecretRef={"name": name})
        sources.put("direct", repo.url)
        sources.run()
        assert sources.ready("bad")["reason"] == "AuthenticationFailed"
        assert "check username and password in the Secret of spec.proxySecretRef" in sources.ready("bad")["message"]
        del sources.objects["bad"]
        proxied = len(proxy.seen)
        polled = sources.sweep()
        assert (polled.unchanged, polled.asked) == (3, 2)
        assert len(proxy.seen) > proxied
        sources.secret("same", address=proxy.address, username="ann", password="wrong")
        assert sources.sweep().poked == (sources.ref("same"),)


def test_a_github_app(sources: Sources, tmp_path: Path) -> None:
    """Its token is asked for once, serves runs and sweeps, and a refused one is replaced."""
    with GitServer(tmp_path / "git") as server, GithubApi() as github:
        repo = server.create("app")
        repo.commit(FILES)
        data = github.secret(githubAppInstallationID="", githubAppInstallationOwner="fleet")
        for name in ("a", "b"):
            sources.secret(name, **{key: value.decode() for key, value in data.items()})
            sources.put(name, repo.url, provider="github", secretRef={"name": name})
        assert list(sources.run()) == ["a", "b"]
        server.access = Access(basic=("x-access-token", github.tokens[0]))
        polled = sources.sweep()
        assert (polled.unchanged, polled.asked, len(github.tokens)) == (2, 1, 1)
        server.access = Access(basic=("x-access-token", "another"))
        assert len(sources.sweep().poked) == 2
        sources.run()
        assert sources.ready("a")["reason"] == "AuthenticationFailed"
        assert len(github.tokens) > 1
        assert not any(token in str(sources.status("a")) for token in github.tokens)
