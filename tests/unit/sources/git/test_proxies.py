"""spec.proxySecretRef: everything passes through the proxy, with its login; what is wrong with it is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetbeat.errors import AuthenticationFailed, FleetbeatError, GitOperationFailed
from fleetbeat.sources.credentials import Account, HttpCredentials, SshCredentials, proxy_of
from fleetbeat.sources.credentials import Proxy as Via
from fleetbeat.sources.git import Deadline, GitLimits
from fleetbeat.sources.git.remote import connect
from tools.gitserver import Access, GitServer
from tools.proxy import Proxy
from tools.sshserver import SshServer, make_key
from workers.embedded import ports

pytestmark = pytest.mark.unit

LOGIN = ("fleet", "pä:ss")
KEY = make_key()


class Reached:
    """A server that is only known to the proxy, by the name `git.invalid`."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.http = GitServer(folder, tls=kind == "https")
        self.ssh = SshServer(folder) if kind == "ssh" else None

    def start(self) -> None:
        """With a repository."""
        self.http.create("app").commit({"a": "1"})
        if self.ssh is not None:
            self.ssh.allow(KEY)
            self.ssh.start()
        else:
            self.http.access = Access(basic=("ann", "pw"))
            self.http.start()

    def stop(self) -> None:
        self.http.stop()
        if self.ssh is not None:
            self.ssh.stop()

    @property
    def url(self) -> str:
        """A certificate's name must be right, so HTTPS goes by an address."""
        url = self.ssh.url("app") if self.ssh else f"{self.http.url}/app"
        return url if self.kind == "https" else url.replace("127.0.0.1", "git.invalid")

    def account(self, proxy: Via | None) -> Account:
        """A good one."""
        if self.ssh is not None:
            return SshCredentials(KEY.private, self.ssh.known_hosts.replace(b"127.0.0.1", b"git.invalid"), None, proxy)
        return HttpCredentials("ann", "pw", ca=self.http.ca if self.kind == "https" else None, proxy=proxy)


@pytest.fixture(scope="module", params=["http", "https", "ssh"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    made = Reached(request.param, tmp_path_factory.mktemp("proxied"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(params=["http", "socks5"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with Proxy(request.param) as made:
        made.hosts["git.invalid"] = "127.0.0.1"
        yield made


def via(proxy: Proxy, *login: str) -> Via:
    """As the Secret has it."""
    names = dict(zip(("username", "password"), (text.encode() for text in login), strict=False))
    return proxy_of({"address": proxy.address.encode(), **names}, "apps/proxy")


def refs(target: Reached, through: Via | None) -> list[str]:
    with connect(target.url, target.account(through), Deadline.after(20), GitLimits()) as remote:
        return list(remote.refs(["refs/"]))


def refused(target: Reached, through: Via | None) -> FleetbeatError:
    with pytest.raises(FleetbeatError) as caught:
        refs(target, through)
    for secret in (*LOGIN, "SECRET", "pw"):
        assert secret not in caught.value.message
    return caught.value


@pytest.mark.parametrize("login", [None, LOGIN], ids=["open", "login"])
def test_through_a_proxy(target: Reached, proxy: Proxy, login: tuple[str, str] | None) -> None:
    """HTTP, HTTPS and SSH by HTTP or SOCKS5; names are the proxy's to resolve."""
    proxy.login = login
    assert refs(target, via(proxy, *(login or ()))) == ["refs/heads/main"]
    assert proxy.seen and proxy.refused == 0


def test_the_environment_is_not_asked(target: Reached, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its proxies nor its exceptions count where a resource has its own."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{ports.reserve()}")
    monkeypatch.setenv("no_proxy", "*")
    assert refs(target, via(proxy)) == ["refs/heads/main"]
    assert proxy.seen


@pytest.mark.parametrize("login", [(), ("fleet", "SECRET"), ("ann",)], ids=["none", "wrong password", "wrong user"])
def test_a_login_that_the_proxy_refuses(target: Reached, proxy: Proxy, login: tuple[str, ...]) -> None:
    """The proxy's Secret is to blame, not the repository's; the server hears nothing."""
    proxy.login = LOGIN
    error = refused(target, via(proxy, *login))
    assert isinstance(error, AuthenticationFailed)
    assert f"the proxy {proxy.address.replace('socks5:', 'socks5h:')} refuses access" in error.message
    assert "spec.proxySecretRef" in error.message
    assert proxy.seen == []


def test_a_proxy_that_is_not_there(target: Reached, proxy: Proxy) -> None:
    """Stopped, or a name that nobody knows."""
    proxy.stop()
    error = refused(target, via(proxy))
    assert isinstance(error, GitOperationFailed)
    assert "cannot be reached; check the address in the Secret of spec.proxySecretRef" in error.message
    lost = proxy_of({"address": f"{proxy.kind}://no-such-proxy.invalid:3128".encode()}, "apps/proxy")
    assert "cannot be reached" in refused(target, lost).message


def test_a_server_that_the_proxy_does_not_reach(tmp_path: Path, target: Reached, proxy: Proxy) -> None:
    """The proxy is well; the URL or its way from there is not."""
    proxy.hosts["git.invalid"] = "127.0.0.1"
    lost = Reached(target.kind, tmp_path)
    error = refused(lost, via(proxy))
    assert isinstance(error, GitOperationFailed)
    assert "does not reach the server" in error.message or "HTTP 502" in error.message


def test_redirects_stay_in_the_proxy(tmp_path: Path) -> None:
    """Another origin is asked without credentials, but the same way."""
    with GitServer(tmp_path / "old") as old, GitServer(tmp_path / "new") as new, Proxy() as proxy:
        new.create("app").commit({"a": "1"})
        old.faults.redirects["app"] = f"{new.url}/app"
        account = HttpCredentials("ann", "pw", proxy=via(proxy))
        with connect(f"{old.url}/app", account, Deadline.after(10), GitLimits()) as remote:
            assert list(remote.refs(["refs/"])) == ["refs/heads/main"]
        assert {*proxy.seen} == {f"127.0.0.1:{old.port}", f"127.0.0.1:{new.port}"}
        assert {one.authorization for one in new.seen} == {""}


def test_ssh_needs_a_proxy_that_can(tmp_path: Path) -> None:
    """TLS towards the proxy is for HTTP only; the message says what to use."""
    server = SshServer(tmp_path)
    account = SshCredentials(KEY.private, server.known_hosts, None, Via("https://proxy.invalid:443"))
    with (
        pytest.raises(GitOperationFailed, match="https is for HTTP only; use http or socks5"),
        connect(server.url("app"), account, Deadline.after(10), GitLimits()) as remote,
    ):
        remote.refs(["refs/"])
