"""Names in registries."""

from __future__ import annotations

import pytest

from fleetbeat.errors import InvalidURL, OCIPullFailed
from fleetbeat.sources.oci.reference import Repository, digest_of, is_digest, is_tag, verify

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("url", "host", "name", "endpoint"),
    [
        ("oci://ghcr.io/org/app", "ghcr.io", "org/app", "ghcr.io"),
        ("oci://127.0.0.1:5000/a/b/c/", "127.0.0.1:5000", "a/b/c", "127.0.0.1:5000"),
        ("oci://[::1]:5000/app", "[::1]:5000", "app", "[::1]:5000"),
        ("oci://docker.io/nginx", "docker.io", "library/nginx", "registry-1.docker.io"),
        ("oci://docker.io/org/app", "docker.io", "org/app", "registry-1.docker.io"),
    ],
)
def test_url_names_a_repository(url: str, host: str, name: str, endpoint: str) -> None:
    """Host, path and Docker Hub's other names."""
    found = Repository.parse(url)
    assert (found.host, found.name, found.endpoint) == (host, name, endpoint)


@pytest.mark.parametrize(
    "url",
    [
        "https://ghcr.io/org/app",
        "oci://ghcr.io",
        "oci://ghcr.io/",
        "oci://ghcr.io/org/app:1.0.0",
        "oci://ghcr.io/org/app@sha256:" + "a" * 64,
        "oci://user:pass@ghcr.io/org/app",
        "oci://ghcr.io/Org/app",
        "oci://ghcr.io/org/../app",
        "oci://ghcr.io/org/app?x=y",
        "oci://gh cr.io/org/app",
        "oci://ghcr.io/" + "a" * 256,
    ],
)
def test_url_with_anything_else_is_refused(url: str) -> None:
    """A tag, a digest, an account or a path that a registry cannot have; the account is not repeated."""
    with pytest.raises(InvalidURL) as caught:
        Repository.parse(url)
    assert "pass" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "tag", "digest"),
    [
        ("1.0.0", True, False),
        ("_x-y.Z", True, False),
        ("-x", False, False),
        ("a/b", False, False),
        ("a" * 129, False, False),
        ("sha256:" + "a" * 64, False, True),
        ("sha512:" + "a" * 128, False, True),
        ("sha256:" + "A" * 64, False, False),
        ("sha256:" + "a" * 63, False, False),
        ("md5:" + "a" * 32, False, False),
    ],
)
def test_grammar_of_tags_and_digests(text: str, tag: bool, digest: bool) -> None:
    """What may be asked for by name and what by content."""
    assert (is_tag(text), is_digest(text)) == (tag, digest)


def test_data_of_another_digest_is_refused() -> None:
    """One byte makes the difference."""
    verify(b"data", digest_of(b"data"), "it")
    with pytest.raises(OCIPullFailed, match="does not have the digest"):
        verify(b"Data", digest_of(b"data"), "it")
