"""Secrets to credentials: Flux's keys, clear refusals, no value in any text."""

from __future__ import annotations

import pytest

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.sources.credentials import ANONYMOUS, HttpCredentials, git_http_credentials

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("data", "header"),
    [
        ({"username": b"ann", "password": b"p\xc3\xa4ss"}, "Basic YW5uOnDDpHNz"),
        ({"username": b"token"}, "Basic dG9rZW46"),
        ({"bearerToken": b"abc"}, "Bearer abc"),
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
        ({"identity": b"SECRET", "known_hosts": b"x"}, "none of the keys.*identity, known_hosts"),
        ({"password": b"SECRET"}, "password but no username"),
        ({"username": b"a", "bearerToken": b"SECRET"}, "both bearerToken and username"),
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


def test_nothing_secret_in_a_repr() -> None:
    """Credentials may end up in a traceback's variables or a log."""
    text = repr(HttpCredentials("ann", "SECRET", ca=b"SECRET", certificate=b"SECRET", key=b"SECRET"))
    assert "SECRET" not in text and "ann" not in text


def test_fingerprints_separate_accounts() -> None:
    """Whoever differs in anything gets a cache of their own."""
    accounts = [ANONYMOUS, HttpCredentials("a", "b"), HttpCredentials("a", "c"), HttpCredentials(bearer_token="a")]
    assert len({account.fingerprint for account in accounts}) == len(accounts)
