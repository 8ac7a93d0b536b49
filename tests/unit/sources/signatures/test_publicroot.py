"""The public trusted root: kept current by TUF, and nothing instead of it when that fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from fleetbeat.errors import VerificationFailed
from fleetbeat.sources.signatures import publicroot
from fleetbeat.sources.signatures.publicroot import TARGET, URL, PublicRoot, shipped_root
from tests.support.tufserver import TufServer

pytestmark = pytest.mark.unit


@pytest.fixture
def server() -> Iterator[TufServer]:
    """With a first version of the root."""
    with TufServer(TARGET, b"first") as running:
        yield running


def root_of(server: TufServer, directory: Path, bootstrap: bytes | None = None) -> PublicRoot:
    """The public root of a process whose trust begins with the server's own root metadata."""
    return PublicRoot(directory, server.url, bootstrap or server.root)


def test_the_root_is_fetched_once_and_believed(server: TufServer, tmp_path: Path) -> None:
    """Further verifications ask nobody."""
    root = root_of(server, tmp_path)
    assert root() == b"first"
    asked = len(server.paths)
    assert root() == b"first"
    assert len(server.paths) == asked


def test_a_new_root_is_found_when_the_old_one_is_no_longer_believed(
    server: TufServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same process, and by another over the same directory."""
    root = root_of(server, tmp_path)
    assert root() == b"first"
    server.publish(TARGET, b"second")
    monkeypatch.setattr(publicroot, "BELIEVED", 0.0)
    assert root() == b"second"
    assert root_of(server, tmp_path)() == b"second"


def test_without_the_network_there_is_no_root(server: TufServer, tmp_path: Path) -> None:
    """Not even the one of yesterday on disk; the message says what to do, and nobody asks again for a while."""
    assert root_of(server, tmp_path)() == b"first"
    files, server.files = server.files, {}
    later = root_of(server, tmp_path)
    with pytest.raises(VerificationFailed, match=r"cannot be had from http://127.* spec\.verify\.trustedRootSecretRef"):
        later()
    server.files, asked = files, len(server.paths)
    with pytest.raises(VerificationFailed):
        later()
    assert len(server.paths) == asked


def test_a_repository_that_is_not_signed_by_the_shipped_root_is_not_believed(server: TufServer, tmp_path: Path) -> None:
    """Whoever can answer for the address cannot give another root."""
    with TufServer(TARGET, b"other") as other, pytest.raises(VerificationFailed, match="cannot be had"):
        root_of(server, tmp_path, other.root)()


def test_a_root_that_may_no_longer_be_believed_is_refused(server: TufServer, tmp_path: Path) -> None:
    """An old state played back expires."""
    server.publish(TARGET, b"old", life=timedelta(seconds=-10))
    with pytest.raises(VerificationFailed, match="ExpiredMetadataError"):
        root_of(server, tmp_path)()


def test_content_that_is_not_what_was_signed_is_refused(server: TufServer, tmp_path: Path) -> None:
    """The file itself is checked by length and digest."""
    path = next(path for path in server.files if path.startswith("/targets/"))
    server.files[path] = b"FIRST"
    with pytest.raises(VerificationFailed, match="cannot be had"):
        root_of(server, tmp_path)()


def test_a_server_that_does_not_answer_is_given_up(
    server: TufServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After seconds, not minutes."""
    monkeypatch.setattr(publicroot, "TIMEOUT", 0.1)
    monkeypatch.setattr(publicroot, "TOTAL", 0.1)
    server.delay.set()
    with pytest.raises(VerificationFailed, match="cannot be had"):
        root_of(server, tmp_path)()


def test_the_library_ships_the_beginning_of_the_public_chain() -> None:
    """For the address that is asked by default."""
    assert json.loads(shipped_root(URL))["signed"]["_type"] == "root"
