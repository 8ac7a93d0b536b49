"""Which account of a pull secret is meant for which repository."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.sources.oci.login import Access, Login, find_login
from fleetbeat.sources.oci.reference import Repository

pytestmark = pytest.mark.unit

AUTH = base64.b64encode(b"robot:pass:word").decode()


def find(auths: dict[str, Any], url: str = "oci://ghcr.io/org/app") -> Login | None:
    """The login for `url` in a Secret with those entries."""
    data = {".dockerconfigjson": json.dumps({"auths": auths}).encode()}
    return find_login(data, "apps/pull", Repository.parse(url))


@pytest.mark.parametrize(
    "key", ["ghcr.io", "https://ghcr.io", "https://ghcr.io/v2/", "http://ghcr.io/v1/", "ghcr.io/org"]
)
def test_keys_with_and_without_scheme(key: str) -> None:
    """Whatever wrote the Secret, the host decides."""
    assert find({"other.example": {"auth": "eDp5"}, key: {"auth": AUTH}}) == Login("robot", "pass:word")


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_has_many_names(key: str) -> None:
    """All of them mean docker.io."""
    assert find({key: {"auth": AUTH}}, "oci://docker.io/org/app") == Login("robot", "pass:word")


def test_the_entry_nearest_to_the_repository_wins() -> None:
    """A path narrows an entry down; another repository's path does not fit."""
    auths = {"ghcr.io": {"username": "all", "password": "1"}, "ghcr.io/org": {"username": "org", "password": "2"}}
    assert find(auths) == Login("org", "2")
    assert find(auths, "oci://ghcr.io/organic/app") == Login("all", "1")


@pytest.mark.parametrize(
    ("entry", "login"),
    [
        ({"username": "robot", "password": "secret"}, Login("robot", "secret")),
        ({"auth": AUTH, "identitytoken": "id"}, Login("robot", "pass:word", "id")),
        ({"username": "<token>", "password": "id"}, Login(identity_token="id")),
        ({"registrytoken": "reg"}, Login(registry_token="reg")),
        ({"auth": ""}, Login()),
    ],
)
def test_forms_of_an_entry(entry: dict[str, str], login: Login) -> None:
    """Password, identity token and registry token."""
    assert find({"ghcr.io": entry}) == login


def test_another_registrys_account_is_not_used() -> None:
    """A Secret without an entry for the host gives none, not the first one."""
    assert find({"ghcr.io.evil.example": {"auth": AUTH}, "ghcr.io:5000": {"auth": AUTH}}) is None


@pytest.mark.parametrize(
    "data",
    [
        {"password": b"hunter2"},
        {".dockerconfigjson": b"hunter2"},
        {".dockerconfigjson": b'{"auths": {"ghcr.io": {"auth": "hunter2!"}}}'},
        {".dockerconfigjson": b'{"auths": {"ghcr.io": {"auth": "aHVudGVyMg=="}}}'},
        {".dockerconfigjson": b'{"auths": {"ghcr.io": {"registrytoken": "hunter2\\nX: y"}}}'},
    ],
)
def test_useless_secrets_are_named_without_their_content(data: dict[str, bytes]) -> None:
    """The message names the Secret, never a value."""
    with pytest.raises(AuthenticationFailed, match="apps/pull") as caught:
        find_login(data, "apps/pull", Repository.parse("oci://ghcr.io/org/app"))
    assert "hunter2" not in caught.value.message


def test_accounts_do_not_show_themselves() -> None:
    """Neither repr nor fingerprint holds a value, and different accounts differ."""
    first, second = (Access(Login("robot", password)) for password in ("hunter2", "hunter3"))
    assert "hunter2" not in repr(first)
    assert first.fingerprint != second.fingerprint
