"""Records: whose artifact it is, and where a consumer finds it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleetbeat.artifacts import ArtifactStore, Source, StoreSettings, record

pytestmark = pytest.mark.unit

STORE = ArtifactStore(StoreSettings(bucket="", prefix="p/"))
DIGEST = "sha256:" + "ab" * 32
FLUX: dict[str, Any] = {
    "path": "gitrepository/apps/repo/1234.tar.gz",
    "url": "http://source-controller/gitrepository/apps/repo/1234.tar.gz",
    "revision": "main@sha1:1234",
    "digest": DIGEST,
    "lastUpdateTime": "2026-01-01T00:00:01Z",
    "metadata": {"org.opencontainers.image.revision": "x"},
}
OURS = FLUX | {"metadata": {"fleetbeat.io/fence": "77"}}


def told(artifact: dict[str, Any], kind: str = "GitRepository") -> dict[str, Any]:
    """The record as consumers decode it."""
    found: dict[str, Any] = json.loads(record.encode(STORE, Source(kind, "apps", "repo", "u1"), artifact))
    return found


def test_ours_lies_in_our_store() -> None:
    """Below its own source's folder, whatever the path in the status says."""
    forged = OURS | {"path": "gitrepository/other/secret/1234.tar.gz"}
    for artifact in (OURS, forged):
        found = told(artifact)
        assert found["key"] == f"p/gitrepository/apps/repo/u1/{'ab' * 32}/1234.tar.gz"
        assert (found["fence"], found["uid"]) == (77, "u1")


def test_fluxs_has_a_url_and_the_time_of_its_storing() -> None:
    """In microseconds, as fences are."""
    assert told(FLUX) == FLUX | {"fence": 1767225601_000000, "uid": "u1"}


@pytest.mark.parametrize("time", ["yesterday", None])
def test_an_unreadable_time_orders_nothing(time: str | None) -> None:
    """It is older than all others."""
    assert told(FLUX | {"lastUpdateTime": time})["fence"] == 0


def test_the_time_of_an_external_artifact_means_nothing() -> None:
    """Whoever writes it may put any time there."""
    assert told(FLUX, "ExternalArtifact")["fence"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"fleetbeat.io/fence": "many"}},
        {"digest": "sha512:" + "ab" * 64},
        {"digest": "sha256:../../x"},
        {"path": "folder/"},
        {"metadata": None},
    ],
)
def test_what_only_looks_like_ours_has_no_key(change: dict[str, Any]) -> None:
    """Then its URL and digest decide."""
    assert "key" not in told(OURS | change)
