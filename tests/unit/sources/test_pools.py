"""Connections to upstream: the environment's proxy, pools that accounts do not share, certificates."""

from __future__ import annotations

import pytest

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.sources.credentials import ANONYMOUS, HttpCredentials
from fleetbeat.sources.pools import pool, usable
from tests.support.hostile import reply, scripted_server
from tools.pki import Authority

pytestmark = pytest.mark.unit


def test_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests pass through it with its own login, except to hosts that are excepted."""
    with scripted_server(lambda handler: reply(handler, handler.path.encode())) as (proxy, seen):
        monkeypatch.setenv("http_proxy", proxy.replace("//", "//ann:pw@"))
        monkeypatch.setenv("no_proxy", "direct.invalid")
        url = "http://git.invalid/app"
        assert pool(url, ANONYMOUS).request("GET", url, timeout=5).data == url.encode()
        assert seen[0]["proxy-authorization"] == "Basic YW5uOnB3"
        assert pool("http://direct.invalid/app", ANONYMOUS).proxy is None


def test_accounts_with_certificates_have_pools_of_their_own() -> None:
    """A password goes with each request and needs no pool; trust is part of one."""
    url = "https://git.invalid/app"
    assert pool(url, ANONYMOUS) is pool(url, HttpCredentials("ann", "pw"))
    assert pool(url, ANONYMOUS) is not pool(url, HttpCredentials(ca=Authority("private").certificate))


@pytest.mark.parametrize(
    ("account", "says"),
    [
        (HttpCredentials(ca=b"SECRET"), "the key ca.crt of Secret apps/ca holds no PEM certificate"),
        (
            HttpCredentials(certificate=b"SECRET", key=b"SECRET"),
            "tls.crt and tls.key of Secret apps/ca are not",
        ),
    ],
)
def test_certificates_that_cannot_be_read_name_their_secret(account: HttpCredentials, says: str) -> None:
    """Before any request; a good one passes."""
    with pytest.raises(AuthenticationFailed, match=says) as caught:
        usable(account, "Secret apps/ca")
    assert "SECRET" not in str(caught.value)
    good = HttpCredentials(ca=Authority("private").certificate)
    assert usable(good, "Secret apps/ca") is good
