"""URLs, hosts, tokens and headers that libraries below would choke on are known before."""

from __future__ import annotations

import pytest

from fleetbeat.kube.wellformed import is_header, is_host, is_token, is_url

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "http://127.0.0.1:8080/",
        "https://[::1]:6443/prefix/of-a-proxy",
        "https://API.example.com.:443",
        "https://münchen.example",
        "https://under_score",
    ],
)
def test_urls(url: str) -> None:
    """Of API servers and proxies."""
    assert is_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://api",
        "https://",
        "https://[",
        "https://[::1",
        "https://[a]",
        "https://a b",
        "https://a\tb",
        "https://a\x00b",
        "https://a:b",
        "https://a:99999",
        "https://a:0",
        "https://user@a",
        "https://a%2fb",
        "https://a/?x=1",
        "https://a..b",
    ],
)
def test_what_is_no_url(url: str) -> None:
    """Whichever library would stumble over it."""
    assert not is_url(url)


def test_hosts() -> None:
    """Names and addresses without port and brackets."""
    assert is_host("a.b")
    assert is_host("::1")
    assert not is_host("a/b")
    assert not is_host("a:1")


@pytest.mark.parametrize(("text", "token", "header"), [("a.b-c~=", True, True), ("a b", False, True)])
def test_tokens_and_headers(text: str, token: bool, header: bool) -> None:
    """A header may have spaces."""
    assert (is_token(text), is_header(text)) == (token, header)


@pytest.mark.parametrize("text", ["", "a\nb", "a\r\nX: y", "a\x00", "é", "€"])
def test_what_is_neither(text: str) -> None:
    """Line breaks above all."""
    assert not is_token(text)
    assert not is_header(text)
