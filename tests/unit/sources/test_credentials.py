"""Secrets to credentials: Flux's keys, clear refusals, no value in any text."""

from __future__ import annotations

import pytest

from fleetbeat.errors import AuthenticationFailed, InvalidProvider
from fleetbeat.sources.credentials import (
    ANONYMOUS,
    Account,
    HttpCredentials,
    Proxy,
    SshCredentials,
    git_http_credentials,
    git_ssh_credentials,
    proxy_of,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("data", "header"),
    [
        ({"username": b"ann", "password": b"p\xc3\xa4ss"}, "Basic YW5uOnDDpHNz"),
        ({"username": b"token"}, "Basic dG9rZW46"),
        ({"bearerToken": b"abc"}, "Bearer abc"),
        ({"bearerToken": b"abc", "username": b"ann", "password": b"x"}, "Bearer abc"),
        ({"ca.crt": b"PEM"}, None),
        ({"username": b"ann", "password": b"x", "identity": b"ignored"}, "Basic YW5uOng="),
    ],
)
def test_authorization(data: dict[str, bytes], header: str | None) -> None:
    """What becomes the Authorization header."""
    assert git_http_credentials(data, "apps/git").authorization == header


def test_certificates() -> None:
    """`ca.crt` wins over the old `caFile`; a client certificate comes as a pair."""
    found = git_http_credentials({"ca.crt": b"new", "caFile": b"old", "tls.crt": b"c", "tls.key": b"k"}, "apps/git")
    assert (found.ca, found.certificate, found.key) == (b"new", b"c", b"k")
    assert git_http_credentials({"caFile": b"old"}, "apps/git").ca == b"old"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "none of the keys.*no key at all"),
        ({"known_hosts": b"x", "a": b"SECRET"}, "none of the keys.*a, known_hosts"),
        ({"identity": b"SECRET", "known_hosts": b"x", "password": b"SECRET"}, "holds a login for ssh"),
        ({"password": b"SECRET"}, "password but no username"),
        ({"bearerToken": b"SECRET\n"}, "bearerToken contains a line break"),
        ({"username": b"a", "password": b"\xffSECRET"}, "password is not UTF-8"),
        ({"tls.crt": b"SECRET"}, "lacks the key tls.key"),
        ({"tls.key": b"SECRET"}, "lacks the key tls.crt"),
    ],
)
def test_refusals_name_secret_and_key(data: dict[str, bytes], message: str) -> None:
    """The message says what to mend and shows no value."""
    with pytest.raises(AuthenticationFailed, match=message) as caught:
        git_http_credentials(data, "apps/git")
    assert "apps/git" in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_keys_of_an_app_need_its_provider() -> None:
    """They are no login by themselves."""
    with pytest.raises(InvalidProvider, match=r"apps/git has the keys of a GitHub App; set spec.provider to github"):
        git_http_credentials({"githubAppID": b"1"}, "apps/git")


def test_ssh_credentials() -> None:
    """A key and whom to trust; `password` is the key's passphrase."""
    found = git_ssh_credentials({"identity": b"key", "known_hosts": b"host", "password": b"phrase"}, "apps/git")
    assert found == SshCredentials(b"key", b"host", b"phrase")
    assert git_ssh_credentials({"identity": b"key", "known_hosts": b"host", "password": b""}, "x").passphrase is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "lacks the key identity, .*no key at all"),
        ({"identity": b"SECRET"}, r"lacks the key known_hosts, .*ssh-keyscan.*it has identity"),
        ({"identity": b"SECRET", "known_hosts": b" \n"}, "lacks the key known_hosts"),
        ({"username": b"ann", "password": b"SECRET"}, "lacks the key identity, .*password, username"),
    ],
)
def test_ssh_needs_both(data: dict[str, bytes], message: str) -> None:
    """Nobody is trusted unseen."""
    with pytest.raises(AuthenticationFailed, match=f"apps/git {message}") as caught:
        git_ssh_credentials(data, "apps/git")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "proxy"),
    [
        ({"address": b"http://proxy.example:3128"}, Proxy("http://proxy.example:3128")),
        ({"address": b"https://proxy.example"}, Proxy("https://proxy.example:443")),
        ({"address": b"socks5://[::1]"}, Proxy("socks5h://[::1]:1080")),
        (
            {"address": b"http://proxy.example/", "username": b"ann", "password": b"pw"},
            Proxy("http://proxy.example:80", "ann", "pw"),
        ),
        ({"address": b"http://ann:p%40@proxy.example:1"}, Proxy("http://proxy.example:1", "ann", "p@")),
        ({"address": b"http://ann:x@proxy.example:1", "username": b"bob"}, Proxy("http://proxy.example:1", "bob")),
    ],
)
def test_proxies(data: dict[str, bytes], proxy: Proxy) -> None:
    """Address and login; the login's own keys win over those in the address."""
    assert proxy_of(data, "apps/proxy") == proxy


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "lacks the key address"),
        ({"address": b"proxy.example:3128"}, "not a proxy; write http"),
        ({"address": b"ftp://SECRET@proxy.example"}, "not a proxy"),
        ({"address": b"http://proxy.example:SECRET"}, "not a proxy"),
        ({"address": b"http://proxy.example", "password": b"SECRET"}, "password but no username"),
        ({"address": b"http://proxy.example", "username": b"SECRET\n"}, "username contains a line break"),
    ],
)
def test_what_is_no_proxy(data: dict[str, bytes], message: str) -> None:
    """The key is named and its value is not shown."""
    with pytest.raises(AuthenticationFailed, match=f"apps/proxy.*{message}") as caught:
        proxy_of(data, "apps/proxy")
    assert "SECRET" not in str(caught.value)


def test_nothing_secret_in_a_repr() -> None:
    """Credentials may end up in a traceback's variables or a log."""
    proxy = Proxy("http://proxy.example", "SECRET", "SECRET")
    http = HttpCredentials("ann", "SECRET", ca=b"SECRET", certificate=b"SECRET", key=b"SECRET", proxy=proxy)
    text = repr(http) + repr(SshCredentials(b"SECRET", b"SECRET", b"SECRET", proxy))
    assert "SECRET" not in text and "ann" not in text


def test_fingerprints_separate_accounts() -> None:
    """Whoever differs in anything gets a cache of their own."""
    proxies = [Proxy("http://a"), Proxy("http://b"), Proxy("http://a", "u"), Proxy("http://a", "u", "p")]
    accounts: list[Account] = [
        *[ANONYMOUS, HttpCredentials("a", "b"), HttpCredentials("a", "c"), HttpCredentials(bearer_token="a")],
        *[HttpCredentials(ca=b"a"), HttpCredentials(certificate=b"a", key=b"b"), HttpCredentials(identity="a")],
        *[SshCredentials(b"a", b"b"), SshCredentials(b"b", b"b"), SshCredentials(b"a", b"c")],
        SshCredentials(b"a", b"b", b"c"),
        *[HttpCredentials(proxy=proxy) for proxy in proxies],
        *[SshCredentials(b"a", b"b", proxy=proxy) for proxy in proxies],
    ]
    assert len({account.fingerprint for account in accounts}) == len(accounts)


def test_a_short_lived_token_is_no_part_of_a_fingerprint() -> None:
    """The account is the same one with the next token; whom it trusts still counts."""
    first, second = (HttpCredentials("x", token, identity="app") for token in ("one", "two"))
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != HttpCredentials("x", "one", ca=b"a", identity="app").fingerprint
