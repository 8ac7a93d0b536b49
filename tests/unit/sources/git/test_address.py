"""URLs of Git repositories: their plain form, and what is refused."""

from __future__ import annotations

import pytest

from fleetbeat.errors import InvalidURL
from fleetbeat.sources.git.address import checked_url

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://git.example/app/", "https://git.example/app"),
        ("https://org@dev.azure.com/org/p/_git/app", "https://dev.azure.com/org/p/_git/app"),
        ("http://Git.Example:3000/a.git", "http://git.example:3000/a.git"),
        ("https://[::1]:8443/a", "https://[::1]:8443/a"),
        ("ssh://git@git.example/org/app.git", "ssh://git@git.example/org/app.git"),
        ("ssh://git.example/app", "ssh://git@git.example/app"),
        ("ssh://fleet@Git.Example:2222/app/", "ssh://fleet@git.example:2222/app"),
        ("ssh://APKAEXAMPLE@git-codecommit.eu-west-1.amazonaws.com/v1/repos/a", None),
        ("ssh://git@[::1]:22/~ann/app", "ssh://git@[::1]:22/~ann/app"),
        ("ssh://git@git.example/a%20b", "ssh://git@git.example/a%20b"),
    ],
)
def test_urls(url: str, plain: str | None) -> None:
    """Over HTTP a user name is no part of where the repository is; over SSH it is, and `git` is the default."""
    assert checked_url(url) == (plain or url)
    assert checked_url(checked_url(url)) == (plain or url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("git@git.example:org/app.git", "is not supported; write ssh://git@git.example/org/app.git"),
        ("git.example:org/app", "write ssh://git@git.example/org/app"),
        ("ssh://git@git.example:org/app", r"no port number; write ssh://\[user@\]host\[:port\]/path"),
        ("ssh://git@git.example", "names no repository"),
        ("ssh://git@git.example/", "names no repository"),
        ("ssh://git:SECRET@git.example/app", "contains a password"),
        ("ssh://-oProxyCommand%3Dx%20y@git.example/app", "user name"),
        ("ssh://git@git.example/a%0Ab", "names no repository"),
        ("ssh:///app", "must be http"),
        ("file:///etc", "must be http"),
        ("https://ann:SECRET@git.example/app", "contains a password"),
        ("https:///app", "must be http"),
        ("https://git.example:port/app", "cannot be read"),
        ("https://git.example/app?token=SECRET", "neither a query"),
        ("https://git.example/a b", "nor blanks|blanks"),
    ],
)
def test_urls_that_are_refused(url: str, message: str) -> None:
    """The refusal is final, names the field and the right form, and repeats no secret."""
    with pytest.raises(InvalidURL, match=message) as caught:
        checked_url(url)
    assert "spec.url" in str(caught.value)
    assert "SECRET" not in str(caught.value)
